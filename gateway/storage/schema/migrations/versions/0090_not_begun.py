"""An index of what may move between engines while nobody has begun it."""

from gateway.storage.schema.statements import run_file

revision = "0090_not_begun"
down_revision = "0080_past_gateway_indexes"


def upgrade() -> None:
    run_file("0090_not_begun.autocommit.sql")
