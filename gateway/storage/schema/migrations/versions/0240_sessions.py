"""Sessions of the console."""

from gateway.storage.schema.statements import run_file

revision = "0240_sessions"
down_revision = "0220_keys"


def upgrade() -> None:
    run_file("0240_sessions.sql")
