"""Each start names what decided about it, and the entry of the ledger behind that."""

from gateway.storage.schema.statements import run_file

revision = "0076_start_entries"
down_revision = "0075_ledger"


def upgrade() -> None:
    run_file("0076_start_entries.sql")
