"""What metrics count from: how far the leader has counted, and ends that a row no longer shows."""

from gateway.storage.schema.statements import run_file

revision = "0150_tally"
down_revision = "0140_guardrails_indexes"


def upgrade() -> None:
    run_file("0150_tally.sql")
