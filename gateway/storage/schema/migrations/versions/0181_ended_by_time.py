"""Indexes of `task_logs` by time that have a task once while it is open, and once when it has ended."""

from gateway.storage.schema.statements import run_file

revision = "0181_ended_by_time"
down_revision = "0180_phase_indexes"


def upgrade() -> None:
    run_file("0181_ended_by_time.autocommit.sql")
