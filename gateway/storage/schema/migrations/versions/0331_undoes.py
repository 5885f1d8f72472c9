"""An entry of the ledger that takes another one back names it."""

from gateway.storage.schema.statements import run_file

revision = "0331_undoes"
down_revision = "0330_news"


def upgrade() -> None:
    run_file("0331_undoes.sql")
