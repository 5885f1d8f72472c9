"""Unique keys of users without a tenant are each user's own."""

from gateway.storage.schema.statements import run_file

revision = "0333_owners_of_keys"
down_revision = "0332_indexes_again"


def upgrade() -> None:
    run_file("0333_owners_of_keys.autocommit.sql")
