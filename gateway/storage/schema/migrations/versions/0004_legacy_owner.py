"""Index for the rows of a tenant that have no dispatch row."""

from gateway.storage.schema.statements import run_file

revision = "0004_legacy_owner"
down_revision = "0003_task_view"


def upgrade() -> None:
    run_file("0004_legacy_owner.autocommit.sql")
