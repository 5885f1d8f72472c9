"""Probes of stage `shadow`."""

from gateway.storage.schema.statements import run_file

revision = "0121_probes"
down_revision = "0120_rehearsal"


def upgrade() -> None:
    run_file("0121_probes.sql")
