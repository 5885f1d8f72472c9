"""The flag that was in force last, for a gateway that starts while nobody says anything of it."""

from gateway.storage.schema.statements import run_file

revision = "0115_flag_last_known"
down_revision = "0090_not_begun"


def upgrade() -> None:
    run_file("0115_flag_last_known.sql")
