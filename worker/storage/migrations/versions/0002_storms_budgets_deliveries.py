"""Storms, budgets and deliveries: everything added may be absent, so the code before this goes on."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("alerts", sa.Column("fold_reason", sa.Text(), nullable=True))
    op.add_column("incidents", sa.Column("resolved_at", MOMENT, nullable=True))
    op.add_column("investigations", sa.Column("limits", JSON, nullable=True))
    op.create_index("ix_incidents_related", "incidents", ["user_path", "status", "last_seen_at"])
    op.create_index("ix_alerts_received", "alerts", ["incident_id", "received_at"])
    op.create_table(
        "budget_lifts",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("user_path", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_lifts")),
    )
    op.create_index("ix_budget_lifts_day", "budget_lifts", ["day"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("investigation_id", sa.String(40), nullable=False),
        sa.Column("destination", sa.String(60), nullable=False),
        sa.Column("status", sa.String(60), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=False),
        sa.Column("claim_token", sa.String(40), nullable=True),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["investigation_id"], ["investigations.id"], name=op.f("fk_deliveries_investigation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("investigation_id", "destination", name="uq_deliveries_destination"),
    )
    op.create_index("ix_deliveries_due", "deliveries", ["status", "next_attempt_at"])


def downgrade() -> None:
    op.drop_table("deliveries")
    op.drop_table("budget_lifts")
    op.drop_index("ix_alerts_received", "alerts")
    op.drop_index("ix_incidents_related", "incidents")
    op.drop_column("investigations", "limits")
    op.drop_column("incidents", "resolved_at")
    op.drop_column("alerts", "fold_reason")
