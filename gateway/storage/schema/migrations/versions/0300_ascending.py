"""Indexes by time that grow at their ends, and so fill their pages."""

from gateway.storage.schema.statements import run_file

revision = "0300_ascending"
down_revision = "0280_mark"


def upgrade() -> None:
    run_file("0300_ascending.autocommit.sql")
