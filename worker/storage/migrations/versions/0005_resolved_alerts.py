"""Resolves: an alert knows its fingerprint and when it was over; code from before leaves both empty."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alerts", sa.Column("fingerprint", sa.String(64), nullable=True))
    op.add_column("alerts", sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_alerts_fingerprint", "alerts", ["fingerprint", "incident_id"])
    op.create_index("ix_alerts_open", "alerts", ["incident_id", "resolved_at"])


def downgrade() -> None:
    op.drop_index("ix_alerts_open", "alerts")
    op.drop_index("ix_alerts_fingerprint", "alerts")
    op.drop_column("alerts", "resolved_at")
    op.drop_column("alerts", "fingerprint")
