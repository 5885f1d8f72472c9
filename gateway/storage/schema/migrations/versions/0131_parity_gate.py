"""Gates of parity: a sample size that was fixed beforehand, and what came of it."""

from gateway.storage.schema.statements import run_file

revision = "0131_parity_gate"
down_revision = "0130_parity_indexes"


def upgrade() -> None:
    run_file("0131_parity_gate.sql")
