"""The phases of the rows that are there, and the indexes that know them."""

from gateway.storage.schema.statements import run_file

revision = "0180_phase_indexes"
down_revision = "0180_phase"


def upgrade() -> None:
    run_file("0180_phase_indexes.autocommit.sql")
