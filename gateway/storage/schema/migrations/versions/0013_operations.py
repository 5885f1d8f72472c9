"""Bulk operations."""

from gateway.storage.schema.statements import run_file

revision = "0013_operations"
down_revision = "0012_dags"


def upgrade() -> None:
    run_file("0013_operations.sql")
