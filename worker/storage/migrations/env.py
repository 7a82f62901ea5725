"""Runs migrations on the connection that `worker.storage.migrate` hands over."""

from alembic import context

from worker.storage import model_tables

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=model_tables.GenerationRow.metadata, transaction_per_migration=False
)
with context.begin_transaction():
    context.run_migrations()
