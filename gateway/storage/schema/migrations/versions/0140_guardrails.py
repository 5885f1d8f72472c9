"""Guardrails: where each stands, what they are set to, what they did."""

from gateway.storage.schema.statements import run_file

revision = "0140_guardrails"
down_revision = "0131_parity_gate"


def upgrade() -> None:
    run_file("0140_guardrails.sql")
