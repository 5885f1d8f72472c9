"""Large tables are vacuumed in small steps."""

from gateway.storage.schema.statements import run_file

revision = "0310_vacuum"
down_revision = "0300_ascending"


def upgrade() -> None:
    run_file("0310_vacuum.sql")
