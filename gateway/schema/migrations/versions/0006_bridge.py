"""What the ingress bridge remembers."""

from gateway.schema.statements import run_file

revision = "0006_bridge"
down_revision = "0005_admit"


def upgrade() -> None:
    run_file("0006_bridge.sql")
