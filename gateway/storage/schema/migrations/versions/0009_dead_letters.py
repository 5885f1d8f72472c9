"""Dead letters, what is kept of each failed attempt, and payloads before they were edited."""

from gateway.storage.schema.statements import run_file

revision = "0009_dead_letters"
down_revision = "0008_submission_indexes"


def upgrade() -> None:
    run_file("0009_dead_letters.sql")
