"""The gateway's own tables."""

from gateway.storage.schema.statements import run_file

revision = "0001_dispatch"
down_revision = None


def upgrade() -> None:
    run_file("0001_dispatch.sql")
