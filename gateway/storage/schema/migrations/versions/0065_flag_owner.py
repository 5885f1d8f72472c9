"""Which flag each gateway follows."""

from gateway.storage.schema.statements import run_file

revision = "0065_flag_owner"
down_revision = "0060_roles"


def upgrade() -> None:
    run_file("0065_flag_owner.sql")
