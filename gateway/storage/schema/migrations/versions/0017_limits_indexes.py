"""The index of held tasks."""

from gateway.storage.schema.statements import run_file

revision = "0017_limits_indexes"
down_revision = "0017_limits"


def upgrade() -> None:
    run_file("0017_held.autocommit.sql")
