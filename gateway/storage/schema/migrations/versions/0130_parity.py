"""Each ended run and each death, counted once: what parity between engines is judged by."""

from gateway.storage.schema.statements import run_file

revision = "0130_parity"
down_revision = "0121_probes"


def upgrade() -> None:
    run_file("0130_parity.sql")
