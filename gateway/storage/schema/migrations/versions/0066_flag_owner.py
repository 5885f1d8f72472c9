"""Which flag each gateway follows."""

from gateway.storage.schema.statements import run_file

revision = "0066_flag_owner"
down_revision = "0065_legacy_has"


def upgrade() -> None:
    run_file("0066_flag_owner.sql")
