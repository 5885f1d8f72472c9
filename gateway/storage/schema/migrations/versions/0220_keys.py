"""Keys: how far each goes, from where it is used, and which one follows it."""

from gateway.storage.schema.statements import run_file

revision = "0220_keys"
down_revision = "0200_plan_summary"


def upgrade() -> None:
    run_file("0220_keys.sql")
