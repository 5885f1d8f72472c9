"""What a list of plans shows of each, so that it reads no document."""

from gateway.storage.schema.statements import run_file

revision = "0200_plan_summary"
down_revision = "0181_ended_by_time"


def upgrade() -> None:
    run_file("0200_plan_summary.sql")
