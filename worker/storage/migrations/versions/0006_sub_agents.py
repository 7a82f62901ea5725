"""Sub-agents: what they are told and find, which calls they share; rows of the code before leave all of it empty."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("investigations", sa.Column("routes", JSON, nullable=True))
    op.add_column("agents", sa.Column("wave_no", sa.Integer(), nullable=True))
    op.add_column("agents", sa.Column("brief", JSON, nullable=True))
    op.add_column("agents", sa.Column("note", sa.Text(), nullable=True))
    op.add_column("agents", sa.Column("verification", JSON, nullable=True))
    op.add_column("turns", sa.Column("purpose", sa.String(60), nullable=True))
    op.add_column("tool_calls", sa.Column("row_count", sa.Integer(), nullable=True))
    op.create_table(
        "findings",
        sa.Column("agent_id", sa.String(40), nullable=False),
        sa.Column("investigation_id", sa.String(40), nullable=False),
        sa.Column("body", JSON, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("is_late", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name="fk_findings_agent_id"),
        sa.ForeignKeyConstraint(["investigation_id"], ["investigations.id"], name="fk_findings_investigation_id"),
        sa.PrimaryKeyConstraint("agent_id", name="pk_findings"),
    )
    op.create_index("ix_findings_investigation_id", "findings", ["investigation_id"])
    op.create_table(
        "shared_calls",
        sa.Column("investigation_id", sa.String(40), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("agent_id", sa.String(40), nullable=False),
        sa.Column("turn_no", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("claim_token", sa.String(40), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name="fk_shared_calls_agent_id"),
        sa.ForeignKeyConstraint(["investigation_id"], ["investigations.id"], name="fk_shared_calls_investigation_id"),
        sa.PrimaryKeyConstraint("investigation_id", "key", name="pk_shared_calls"),
    )
    op.create_index("ix_shared_calls_agent_id", "shared_calls", ["agent_id"])


def downgrade() -> None:
    op.drop_table("shared_calls")
    op.drop_table("findings")
    op.drop_column("tool_calls", "row_count")
    op.drop_column("turns", "purpose")
    for name in ("verification", "note", "brief", "wave_no"):
        op.drop_column("agents", name)
    op.drop_column("investigations", "routes")
