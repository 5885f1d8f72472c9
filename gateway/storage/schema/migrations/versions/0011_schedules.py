"""Schedules and their firings."""

from gateway.storage.schema.statements import run_file

revision = "0011_schedules"
down_revision = "0010_leases"


def upgrade() -> None:
    run_file("0011_schedules.sql")
