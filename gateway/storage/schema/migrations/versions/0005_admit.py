"""Who calls, and where a task belongs, in one call."""

from gateway.storage.schema.statements import run_file

revision = "0005_admit"
down_revision = "0004_legacy_owner"


def upgrade() -> None:
    run_file("0005_admit.sql")
