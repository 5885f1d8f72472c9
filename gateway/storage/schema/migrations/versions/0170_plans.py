"""Plans: what they say, how far each is, and where each of its tenants stands."""

from gateway.storage.schema.statements import run_file

revision = "0170_plans"
down_revision = "0150_tally"


def upgrade() -> None:
    run_file("0170_plans.sql")
