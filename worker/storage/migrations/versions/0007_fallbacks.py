"""Fallbacks: whose place a call's model took, and why; rows of the code before leave both empty."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("llm_usage", sa.Column("fallback_of", sa.Text(), nullable=True))
    op.add_column("llm_usage", sa.Column("fallback_reason", sa.String(60), nullable=True))


def downgrade() -> None:
    op.drop_column("llm_usage", "fallback_reason")
    op.drop_column("llm_usage", "fallback_of")
