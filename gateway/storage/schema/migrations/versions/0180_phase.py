"""What indexes know of a task's state, so that a start and a claim write no entry in them."""

from gateway.storage.schema.statements import run_file

revision = "0180_phase"
down_revision = "0170_plans"


def upgrade() -> None:
    run_file("0180_phase.sql")
