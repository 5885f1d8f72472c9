"""How a row of task_logs is seen: shown status, tenant."""

from gateway.storage.schema.statements import run_file

revision = "0003_task_view"
down_revision = "0002_task_logs_indexes"


def upgrade() -> None:
    run_file("0003_task_view.sql")
