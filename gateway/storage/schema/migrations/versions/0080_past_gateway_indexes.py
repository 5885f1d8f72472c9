"""The indexes of rows that others write."""

from gateway.storage.schema.statements import run_file

revision = "0080_past_gateway_indexes"
down_revision = "0080_past_gateway"


def upgrade() -> None:
    run_file("0080_foreign_rows.autocommit.sql")
