"""What the ingress bridge remembers."""

from gateway.storage.schema.statements import run_file

revision = "0006_bridge"
down_revision = "0005_admit"


def upgrade() -> None:
    run_file("0006_bridge.sql")
