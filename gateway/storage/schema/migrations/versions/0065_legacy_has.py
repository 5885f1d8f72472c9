"""Whether a legacy worker has a task, in one place."""

from gateway.storage.schema.statements import run_file

revision = "0065_legacy_has"
down_revision = "0060_roles"


def upgrade() -> None:
    run_file("0065_legacy_has.sql")
