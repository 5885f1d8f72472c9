"""Rehearsals: what is to be checked, and what was found."""

from gateway.storage.schema.statements import run_file

revision = "0120_rehearsal"
down_revision = "0116_dispatch_entry"


def upgrade() -> None:
    run_file("0120_rehearsal.sql")
