"""Indexes of what waits only: a start under way is found by its backend and state, and has two entries fewer."""

from gateway.storage.schema.statements import run_file

revision = "0035_start_indexes"
down_revision = "0030_engine_duties"


def upgrade() -> None:
    run_file("0035_start_indexes.autocommit.sql")
