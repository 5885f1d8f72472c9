"""Indexes for what a client may ask of a task, and for lists of tasks."""

from gateway.storage.schema.statements import run_file

revision = "0008_submission_indexes"
down_revision = "0007_submission"


def upgrade() -> None:
    run_file("0008_submission_indexes.autocommit.sql")
