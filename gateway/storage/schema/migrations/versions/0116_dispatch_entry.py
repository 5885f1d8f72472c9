"""An index of what was started under each entry of the ledger."""

from gateway.storage.schema.statements import run_file

revision = "0116_dispatch_entry"
down_revision = "0115_flag_last_known"


def upgrade() -> None:
    run_file("0116_dispatch_entry.autocommit.sql")
