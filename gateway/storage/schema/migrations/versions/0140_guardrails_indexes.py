"""The index of how old a tenant's queue is."""

from gateway.storage.schema.statements import run_file

revision = "0140_guardrails_indexes"
down_revision = "0140_guardrails"


def upgrade() -> None:
    run_file("0140_guardrails.autocommit.sql")
