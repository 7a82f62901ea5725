"""First schema: incidents, investigations and the step machine."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table('incidents',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('user_path', sa.Text(), nullable=False),
    sa.Column('fingerprint', sa.String(length=64), nullable=False),
    sa.Column('status', sa.String(length=60), nullable=False),
    sa.Column('title', sa.Text(), nullable=False),
    sa.Column('severity', sa.String(length=60), nullable=False),
    sa.Column('service', sa.Text(), nullable=True),
    sa.Column('started_at', MOMENT, nullable=False),
    sa.Column('alert_count', sa.Integer(), nullable=False),
    sa.Column('first_seen_at', MOMENT, nullable=False),
    sa.Column('last_seen_at', MOMENT, nullable=False),
    sa.Column('event', JSON, nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_incidents'))
    )
    op.create_index('ix_incidents_fold', 'incidents', ['user_path', 'fingerprint', 'status'], unique=False)
    op.create_table('leases',
    sa.Column('name', sa.String(length=60), nullable=False),
    sa.Column('holder', sa.String(length=40), nullable=False),
    sa.Column('until', MOMENT, nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_leases'))
    )
    op.create_table('tokens',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.Column('scopes', JSON, nullable=False),
    sa.Column('user_path', sa.Text(), nullable=False),
    sa.Column('created_at', MOMENT, nullable=False),
    sa.Column('expires_at', MOMENT, nullable=True),
    sa.Column('last_used_at', MOMENT, nullable=True),
    sa.Column('revoked_at', MOMENT, nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tokens')),
    sa.UniqueConstraint('hash', name=op.f('uq_tokens_hash'))
    )
    op.create_table('verdicts',
    sa.Column('key', sa.String(length=64), nullable=False),
    sa.Column('verdict', sa.String(length=60), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('created_at', MOMENT, nullable=False),
    sa.Column('expires_at', MOMENT, nullable=False),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_verdicts'))
    )
    op.create_index(op.f('ix_verdicts_expires_at'), 'verdicts', ['expires_at'], unique=False)
    op.create_table('alerts',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('incident_id', sa.String(length=40), nullable=False),
    sa.Column('investigation_id', sa.String(length=40), nullable=False),
    sa.Column('user_path', sa.Text(), nullable=False),
    sa.Column('idempotency_key', sa.Text(), nullable=False),
    sa.Column('via', sa.String(length=60), nullable=False),
    sa.Column('received_at', MOMENT, nullable=False),
    sa.Column('event', JSON, nullable=False),
    sa.ForeignKeyConstraint(['incident_id'], ['incidents.id'], name=op.f('fk_alerts_incident_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_alerts')),
    sa.UniqueConstraint('user_path', 'idempotency_key', name='uq_alerts_key')
    )
    op.create_index(op.f('ix_alerts_incident_id'), 'alerts', ['incident_id'], unique=False)
    op.create_table('investigations',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('incident_id', sa.String(length=40), nullable=False),
    sa.Column('attempt_no', sa.Integer(), nullable=False),
    sa.Column('retry_of', sa.String(length=40), nullable=True),
    sa.Column('user_path', sa.Text(), nullable=False),
    sa.Column('severity_rank', sa.Integer(), nullable=False),
    sa.Column('status', sa.String(length=60), nullable=False),
    sa.Column('verdict', sa.String(length=60), nullable=True),
    sa.Column('failure_class', sa.String(length=60), nullable=True),
    sa.Column('failure_reason', sa.Text(), nullable=True),
    sa.Column('created_at', MOMENT, nullable=False),
    sa.Column('admitted_at', MOMENT, nullable=True),
    sa.Column('deadline_at', MOMENT, nullable=True),
    sa.Column('finished_at', MOMENT, nullable=True),
    sa.Column('cancel_requested_at', MOMENT, nullable=True),
    sa.ForeignKeyConstraint(['incident_id'], ['incidents.id'], name=op.f('fk_investigations_incident_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_investigations'))
    )
    op.create_index('ix_investigations_admission', 'investigations', ['status', 'severity_rank', 'id'], unique=False)
    op.create_index(op.f('ix_investigations_incident_id'), 'investigations', ['incident_id'], unique=False)
    op.create_table('agents',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('investigation_id', sa.String(length=40), nullable=False),
    sa.Column('parent_id', sa.String(length=40), nullable=True),
    sa.Column('agent_no', sa.Integer(), nullable=False),
    sa.Column('kind', sa.String(length=60), nullable=False),
    sa.Column('role', sa.String(length=60), nullable=False),
    sa.Column('status', sa.String(length=60), nullable=False),
    sa.Column('turn_no', sa.Integer(), nullable=False),
    sa.Column('nonce', sa.String(length=60), nullable=False),
    sa.Column('route', JSON, nullable=False),
    sa.Column('judge_route', JSON, nullable=True),
    sa.Column('claim_token', sa.String(length=40), nullable=True),
    sa.Column('lease_until', MOMENT, nullable=True),
    sa.Column('not_before', MOMENT, nullable=False),
    sa.Column('deadline_at', MOMENT, nullable=False),
    sa.Column('cancel_requested_at', MOMENT, nullable=True),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('losses', sa.Integer(), nullable=False),
    sa.Column('outage_since', MOMENT, nullable=True),
    sa.Column('partial', sa.Text(), nullable=True),
    sa.Column('resume_status', sa.String(length=60), nullable=True),
    sa.Column('created_at', MOMENT, nullable=False),
    sa.Column('finished_at', MOMENT, nullable=True),
    sa.ForeignKeyConstraint(['investigation_id'], ['investigations.id'], name=op.f('fk_agents_investigation_id')),
    sa.ForeignKeyConstraint(['parent_id'], ['agents.id'], name=op.f('fk_agents_parent_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_agents'))
    )
    op.create_index(op.f('ix_agents_investigation_id'), 'agents', ['investigation_id'], unique=False)
    op.create_index('ix_agents_lease', 'agents', ['claim_token', 'lease_until'], unique=False)
    op.create_index(op.f('ix_agents_parent_id'), 'agents', ['parent_id'], unique=False)
    op.create_index(op.f('ix_agents_status'), 'agents', ['status'], unique=False)
    op.create_table('artifacts',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('investigation_id', sa.String(length=40), nullable=False),
    sa.Column('evidence_id', sa.String(length=60), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('size_bytes', sa.Integer(), nullable=False),
    sa.Column('created_at', MOMENT, nullable=False),
    sa.ForeignKeyConstraint(['investigation_id'], ['investigations.id'], name=op.f('fk_artifacts_investigation_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_artifacts'))
    )
    op.create_index(op.f('ix_artifacts_investigation_id'), 'artifacts', ['investigation_id'], unique=False)
    op.create_table('llm_usage',
    sa.Column('id', NUMBER, nullable=False),
    sa.Column('investigation_id', sa.String(length=40), nullable=False),
    sa.Column('agent_id', sa.String(length=40), nullable=False),
    sa.Column('turn_no', sa.Integer(), nullable=False),
    sa.Column('purpose', sa.String(length=60), nullable=False),
    sa.Column('provider', sa.String(length=60), nullable=False),
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('outcome', sa.String(length=60), nullable=False),
    sa.Column('input_tokens', sa.Integer(), nullable=True),
    sa.Column('cached_input_tokens', sa.Integer(), nullable=True),
    sa.Column('cache_write_tokens', sa.Integer(), nullable=True),
    sa.Column('output_tokens', sa.Integer(), nullable=True),
    sa.Column('reasoning_tokens', sa.Integer(), nullable=True),
    sa.Column('cost_usd', sa.Float(), nullable=True),
    sa.Column('price_source', sa.Text(), nullable=True),
    sa.Column('billed_to', sa.String(length=60), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('latency_ms', sa.Integer(), nullable=False),
    sa.Column('created_at', MOMENT, nullable=False),
    sa.ForeignKeyConstraint(['investigation_id'], ['investigations.id'], name=op.f('fk_llm_usage_investigation_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_llm_usage'))
    )
    op.create_index(op.f('ix_llm_usage_created_at'), 'llm_usage', ['created_at'], unique=False)
    op.create_index(op.f('ix_llm_usage_investigation_id'), 'llm_usage', ['investigation_id'], unique=False)
    op.create_table('reports',
    sa.Column('investigation_id', sa.String(length=40), nullable=False),
    sa.Column('verdict', sa.String(length=60), nullable=False),
    sa.Column('body', JSON, nullable=False),
    sa.Column('created_at', MOMENT, nullable=False),
    sa.ForeignKeyConstraint(['investigation_id'], ['investigations.id'], name=op.f('fk_reports_investigation_id')),
    sa.PrimaryKeyConstraint('investigation_id', name=op.f('pk_reports'))
    )
    op.create_table('outbox',
    sa.Column('id', NUMBER, nullable=False),
    sa.Column('agent_id', sa.String(length=40), nullable=False),
    sa.Column('step', sa.String(length=60), nullable=False),
    sa.Column('turn_no', sa.Integer(), nullable=False),
    sa.Column('queue', sa.String(length=60), nullable=False),
    sa.Column('publish_at', MOMENT, nullable=False),
    sa.Column('published', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['agent_id'], ['agents.id'], name=op.f('fk_outbox_agent_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_outbox')),
    sa.UniqueConstraint('agent_id', 'step', 'turn_no', name='uq_outbox_step')
    )
    op.create_index(op.f('ix_outbox_agent_id'), 'outbox', ['agent_id'], unique=False)
    op.create_index(op.f('ix_outbox_publish_at'), 'outbox', ['publish_at'], unique=False)
    op.create_table('tool_calls',
    sa.Column('agent_id', sa.String(length=40), nullable=False),
    sa.Column('turn_no', sa.Integer(), nullable=False),
    sa.Column('seq', sa.Integer(), nullable=False),
    sa.Column('evidence_id', sa.String(length=60), nullable=False),
    sa.Column('request_id', sa.Text(), nullable=False),
    sa.Column('tool', sa.Text(), nullable=False),
    sa.Column('arguments', JSON, nullable=True),
    sa.Column('command', sa.Text(), nullable=True),
    sa.Column('status', sa.String(length=60), nullable=False),
    sa.Column('layer', sa.String(length=60), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('repeats', sa.String(length=60), nullable=True),
    sa.Column('text', sa.Text(), nullable=True),
    sa.Column('artifact_id', sa.String(length=40), nullable=True),
    sa.Column('window', JSON, nullable=True),
    sa.Column('entities', JSON, nullable=False),
    sa.Column('series', JSON, nullable=False),
    sa.Column('duration_ms', sa.Integer(), nullable=True),
    sa.Column('finished_at', MOMENT, nullable=True),
    sa.ForeignKeyConstraint(['agent_id'], ['agents.id'], name=op.f('fk_tool_calls_agent_id')),
    sa.PrimaryKeyConstraint('agent_id', 'turn_no', 'seq', name=op.f('pk_tool_calls'))
    )
    op.create_table('turns',
    sa.Column('agent_id', sa.String(length=40), nullable=False),
    sa.Column('turn_no', sa.Integer(), nullable=False),
    sa.Column('note', sa.Text(), nullable=True),
    sa.Column('message', JSON, nullable=False),
    sa.Column('stop_reason', sa.String(length=60), nullable=False),
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('request_id', sa.Text(), nullable=True),
    sa.Column('notes', JSON, nullable=False),
    sa.Column('prompt_versions', JSON, nullable=False),
    sa.Column('created_at', MOMENT, nullable=False),
    sa.ForeignKeyConstraint(['agent_id'], ['agents.id'], name=op.f('fk_turns_agent_id')),
    sa.PrimaryKeyConstraint('agent_id', 'turn_no', name=op.f('pk_turns'))
    )


def downgrade() -> None:
    op.drop_table('turns')
    op.drop_table('tool_calls')
    op.drop_index(op.f('ix_outbox_publish_at'), table_name='outbox')
    op.drop_index(op.f('ix_outbox_agent_id'), table_name='outbox')
    op.drop_table('outbox')
    op.drop_table('reports')
    op.drop_index(op.f('ix_llm_usage_investigation_id'), table_name='llm_usage')
    op.drop_index(op.f('ix_llm_usage_created_at'), table_name='llm_usage')
    op.drop_table('llm_usage')
    op.drop_index(op.f('ix_artifacts_investigation_id'), table_name='artifacts')
    op.drop_table('artifacts')
    op.drop_index(op.f('ix_agents_status'), table_name='agents')
    op.drop_index(op.f('ix_agents_parent_id'), table_name='agents')
    op.drop_index('ix_agents_lease', table_name='agents')
    op.drop_index(op.f('ix_agents_investigation_id'), table_name='agents')
    op.drop_table('agents')
    op.drop_index(op.f('ix_investigations_incident_id'), table_name='investigations')
    op.drop_index('ix_investigations_admission', table_name='investigations')
    op.drop_table('investigations')
    op.drop_index(op.f('ix_alerts_incident_id'), table_name='alerts')
    op.drop_table('alerts')
    op.drop_index(op.f('ix_verdicts_expires_at'), table_name='verdicts')
    op.drop_table('verdicts')
    op.drop_table('tokens')
    op.drop_table('leases')
    op.drop_index('ix_incidents_fold', table_name='incidents')
    op.drop_table('incidents')
