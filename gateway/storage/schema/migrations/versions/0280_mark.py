"""How far the database has come, to be compared with what Redis remembers of it."""

from gateway.storage.schema.statements import run_file

revision = "0280_mark"
down_revision = "0260_recovery"


def upgrade() -> None:
    run_file("0280_mark.sql")
