"""The index of runs that are not yet counted."""

from gateway.storage.schema.statements import run_file

revision = "0130_parity_indexes"
down_revision = "0130_parity"


def upgrade() -> None:
    run_file("0130_uncounted.autocommit.sql")
