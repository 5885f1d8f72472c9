"""DAGs: definitions, their versions, runs and nodes."""

from gateway.storage.schema.statements import run_file

revision = "0012_dags"
down_revision = "0011_schedules"


def upgrade() -> None:
    run_file("0012_dags.sql")
