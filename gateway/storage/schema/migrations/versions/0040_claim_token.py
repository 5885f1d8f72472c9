"""A worker that never heard the answer to its claim asks again, and gets the same claim."""

from gateway.storage.schema.statements import run_file

revision = "0040_claim_token"
down_revision = "0035_start_indexes"


def upgrade() -> None:
    run_file("0040_claim_token.sql")
