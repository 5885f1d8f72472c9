"""The roles and permissions of callers; what they do beyond them over legacy endpoints."""

from gateway.storage.schema.statements import run_file

revision = "0060_roles"
down_revision = "0040_claim_token"


def upgrade() -> None:
    run_file("0060_roles.sql")
