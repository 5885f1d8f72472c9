"""Quotas, pauses, and what the gateway keeps of a tenant: its weight, its tier."""

from gateway.storage.schema.statements import run_file

revision = "0017_limits"
down_revision = "0016_dag_runs"


def upgrade() -> None:
    run_file("0017_limits.sql")
