"""One index for what waits and one for starts under way, in place of one for both and one by owner."""

from gateway.storage.schema.statements import run_file

revision = "0035_start_indexes"
down_revision = "0018_turns"


def upgrade() -> None:
    run_file("0035_start_indexes.autocommit.sql")
