"""A tenant of a plan may be counted anew."""

from gateway.storage.schema.statements import run_file

revision = "0335_recounts"
down_revision = "0333_owners_of_keys"


def upgrade() -> None:
    run_file("0335_recounts.sql")
