"""Leases know at which start of the server they were taken."""

from gateway.storage.schema.statements import run_file

revision = "0010_leases"
down_revision = "0009_dead_letters"


def upgrade() -> None:
    run_file("0010_leases.sql")
