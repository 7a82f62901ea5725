"""Fresh accounts: the caller's account that an attempt was started with; rows of the code before leave it empty."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("investigations", sa.Column("llm_handle", sa.String(100), nullable=True))


def downgrade() -> None:
    op.drop_column("investigations", "llm_handle")
