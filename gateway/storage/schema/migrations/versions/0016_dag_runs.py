"""DAG runs that are started again: which of their nodes are wanted again."""

from gateway.storage.schema.statements import run_file

revision = "0016_dag_runs"
down_revision = "0015_redrive_operations"


def upgrade() -> None:
    run_file("0016_dag_runs.sql")
