"""A mark on a worker that is to take no more tasks and end."""

from gateway.storage.schema.statements import run_file

revision = "0320_worker_drain"
down_revision = "0310_vacuum"


def upgrade() -> None:
    run_file("0320_worker_drain.sql")
