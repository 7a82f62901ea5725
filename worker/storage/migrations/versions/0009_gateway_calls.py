"""Calls of other programs: usage that belongs to a user path and to no investigation."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("llm_usage") as table:
        table.alter_column("investigation_id", existing_type=sa.String(40), nullable=True)
        table.add_column(sa.Column("user_path", sa.Text(), nullable=True))


def downgrade() -> None:
    op.execute("DELETE FROM llm_usage WHERE investigation_id IS NULL")
    with op.batch_alter_table("llm_usage") as table:
        table.drop_column("user_path")
        table.alter_column("investigation_id", existing_type=sa.String(40), nullable=False)
