"""The index of tasks that ended lately."""

from gateway.storage.schema.statements import run_file

revision = "0013_operations_indexes"
down_revision = "0013_operations"


def upgrade() -> None:
    run_file("0013_finished.autocommit.sql")
