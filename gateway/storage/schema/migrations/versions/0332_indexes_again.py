"""Indexes that an earlier release may have left out."""

from gateway.storage.schema.statements import run_file

revision = "0332_indexes_again"
down_revision = "0331_undoes"


def upgrade() -> None:
    run_file("0332_indexes_again.autocommit.sql")
