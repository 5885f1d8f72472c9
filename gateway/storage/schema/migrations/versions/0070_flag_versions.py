"""The migration flag in rows of our own, version by version; overrides have versions, too."""

from gateway.storage.schema.statements import run_file

revision = "0070_flag_versions"
down_revision = "0066_flag_owner"


def upgrade() -> None:
    run_file("0070_flag_versions.sql")
