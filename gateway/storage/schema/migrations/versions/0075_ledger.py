"""The ledger: every change of effective routing, append-only and hash-chained."""

from gateway.storage.schema.statements import run_file

revision = "0075_ledger"
down_revision = "0070_flag_versions"


def upgrade() -> None:
    run_file("0075_ledger.sql")
