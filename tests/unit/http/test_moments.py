"""Times at the ends of the calendar are refused wherever one is read, not found out by a driver."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from gateway.dead_letters.filter import LetterFilter
from gateway.http.schedules import Backfill
from gateway.schedules.definition import ScheduleDefinition, Spec
from gateway.submission.requests import RunAt, TaskSubmission
from gateway.tasks.queries.task_selection import Selection

TIMES = ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize(
    ("model", "field"),
    [
        (TaskSubmission, "run_at"),
        (TaskSubmission, "deadline"),
        (RunAt, "run_at"),
        (Selection, "created_after"),
        (Selection, "created_before"),
        (Selection, "finished_after"),
        (Selection, "finished_before"),
        (LetterFilter, "died_after"),
        (ScheduleDefinition, "start_at"),
        (ScheduleDefinition, "end_at"),
        (Spec, "anchor"),
        (Backfill, "start_at"),
    ],
)
def test_a_time_that_utc_does_not_have(model: type[BaseModel], field: str, time: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate({field: time})
    assert [error["msg"] for error in refused.value.errors() if error["loc"] == (field,)] == [
        "Value error, is beyond what a clock shows in UTC"
    ]
