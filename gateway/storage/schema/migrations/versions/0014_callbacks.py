"""Callbacks: secrets of tenants, and an outbox that no end of a task can bypass."""

from gateway.storage.schema.statements import run_file

revision = "0014_callbacks"
down_revision = "0013_operations_indexes"


def upgrade() -> None:
    run_file("0014_callbacks.sql")
