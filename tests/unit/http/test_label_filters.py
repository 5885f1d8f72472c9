"""Any label that a task can have can be filtered by."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.http.task_list import TaskListQuery
from gateway.http.task_list_stream import StreamedSelection
from gateway.submission.requests import LABEL_KEY, LONGEST_LABEL, LONGEST_LABEL_KEY, TaskSubmission


@pytest.mark.parametrize("model", [TaskListQuery, StreamedSelection])
def test_the_longest_label(model: Any) -> None:
    key, value = "k" * LONGEST_LABEL_KEY, "v" * LONGEST_LABEL
    TaskSubmission(type="probe", labels={key: value})
    assert not LABEL_KEY.fullmatch(key + "k")
    assert model(label=[f"{key}:{value}"]).label == [f"{key}:{value}"]
    with pytest.raises(ValidationError):
        model(label=[f"{key}:{value}v"])
