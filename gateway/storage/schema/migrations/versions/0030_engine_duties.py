"""What engines have to be told, who leads, and what is known of an engine's memory are rows."""

from gateway.storage.schema.statements import run_file

revision = "0030_engine_duties"
down_revision = "0018_turns"


def upgrade() -> None:
    run_file("0030_engine_duties.sql")
