"""Indexes for reading tasks."""

from gateway.storage.schema.statements import run_file

revision = "0002_task_logs_indexes"
down_revision = "0001_dispatch"


def upgrade() -> None:
    run_file("0002_task_logs_indexes.autocommit.sql")
