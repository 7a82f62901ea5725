"""Reservations of model calls and what budgets count: absent in rows of the code before this, which are read as they are."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RESERVED = sa.text("outcome = 'reserved'")


def upgrade() -> None:
    op.add_column("llm_usage", sa.Column("claim_token", sa.String(40), nullable=True))
    op.add_column("llm_usage", sa.Column("counted_tokens", sa.Integer(), nullable=True))
    op.add_column("llm_usage", sa.Column("counted_cost_usd", sa.Float(), nullable=True))
    op.create_index(
        "uq_llm_usage_reserved",
        "llm_usage",
        ["agent_id", "turn_no", "purpose"],
        unique=True,
        postgresql_where=RESERVED,
        sqlite_where=RESERVED,
    )


def downgrade() -> None:
    op.drop_index("uq_llm_usage_reserved", "llm_usage")
    op.execute("DELETE FROM llm_usage WHERE outcome = 'reserved'")
    op.drop_column("llm_usage", "counted_cost_usd")
    op.drop_column("llm_usage", "counted_tokens")
    op.drop_column("llm_usage", "claim_token")
