"""What is done after a backup was restored, and what a person has to decide then."""

from gateway.storage.schema.statements import run_file

revision = "0260_recovery"
down_revision = "0240_sessions"


def upgrade() -> None:
    run_file("0260_recovery.sql")
