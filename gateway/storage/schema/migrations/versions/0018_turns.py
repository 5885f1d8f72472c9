"""An index for dispatching tenants in turn."""

from gateway.storage.schema.statements import run_file

revision = "0018_turns"
down_revision = "0017_limits_indexes"


def upgrade() -> None:
    run_file("0018_turns.autocommit.sql")
