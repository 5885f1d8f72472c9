"""Operations on dead letters."""

from gateway.storage.schema.statements import run_file

revision = "0015_redrive_operations"
down_revision = "0014_callbacks"


def upgrade() -> None:
    run_file("0015_redrive_operations.sql")
