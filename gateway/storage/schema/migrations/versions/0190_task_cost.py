"""Fewer entries in indexes per task, and less waiting for vacuum."""

from gateway.storage.schema.statements import run_file

revision = "0190_task_cost"
down_revision = "0170_plans"


def upgrade() -> None:
    run_file("0190_task_cost.autocommit.sql")
