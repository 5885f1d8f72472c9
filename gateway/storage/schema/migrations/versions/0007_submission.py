"""What a client may ask of a task beyond its type and payload."""

from gateway.storage.schema.statements import run_file

revision = "0007_submission"
down_revision = "0006_bridge"


def upgrade() -> None:
    run_file("0007_submission.sql")
