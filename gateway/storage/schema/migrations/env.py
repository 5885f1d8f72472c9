"""Alembic's entry: runs the migrations over the connection that `gateway.storage.schema.migrate` hands in."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table_schema="taskgate", transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
