"""Folding and fairness: alerts are counted, turns remember which were told; the queue is read path by path."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alerts", sa.Column("alert_no", sa.Integer(), nullable=True))
    op.add_column("turns", sa.Column("heard_alert_no", sa.Integer(), nullable=True))
    op.create_index("ix_investigations_queue", "investigations", ["status", "user_path", "severity_rank", "id"])
    op.create_index("ix_investigations_admitted", "investigations", ["user_path", "admitted_at"])
    op.drop_index("ix_investigations_admission", "investigations")


def downgrade() -> None:
    op.create_index("ix_investigations_admission", "investigations", ["status", "severity_rank", "id"])
    op.drop_index("ix_investigations_admitted", "investigations")
    op.drop_index("ix_investigations_queue", "investigations")
    op.drop_column("turns", "heard_alert_no")
    op.drop_column("alerts", "alert_no")
