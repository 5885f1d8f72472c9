"""What producers push past the gateway."""

from gateway.storage.schema.statements import run_file

revision = "0080_past_gateway"
down_revision = "0076_start_entries"


def upgrade() -> None:
    run_file("0080_past_gateway.sql")
