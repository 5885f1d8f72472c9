"""What the child process says of a large request before the gateway takes it apart."""

from __future__ import annotations

import pytest
from google.protobuf.struct_pb2 import ListValue
from taskgate.v1 import NewTask, SubmitRequest

from gateway.rpc.parsing import _check


def request(**fields: object) -> SubmitRequest:
    task = NewTask(task_type="probe")
    task.payload.update(fields)
    return SubmitRequest(task=task)


@pytest.mark.parametrize(
    ("payload", "values"),
    [
        ({}, 0),
        ({"a": 1}, 1),
        ({"a": [1, 2, 3]}, 4),
        ({"a": {"b": [{}, {"c": "text"}]}, "d": None}, 6),
    ],
)
def test_values_are_counted_wherever_they_stand(payload: dict[str, object], values: int) -> None:
    raw = request(**payload).SerializeToString()
    assert _check(SubmitRequest, raw, values) is None
    if values:
        assert _check(SubmitRequest, raw, values - 1) == f"The request holds more than {values - 1} values."


def test_labels_count_too() -> None:
    raw = SubmitRequest(task=NewTask(labels={"a": "b", "c": "d"})).SerializeToString()
    assert _check(SubmitRequest, raw, 2) is None
    assert _check(SubmitRequest, raw, 1) is not None


def test_a_list_that_is_too_long_is_not_looked_into() -> None:
    task = NewTask()
    task.payload.fields["a"].list_value.CopyFrom(ListValue.FromString(b"\x0a\x02\x2a\x00" * 500_000))
    raw = SubmitRequest(task=task).SerializeToString()
    assert _check(SubmitRequest, raw, 100_000) == "The request holds more than 100000 values."


def test_what_is_no_request() -> None:
    assert _check(SubmitRequest, b"\x00" * 100, 10) == "The request is not a valid taskgate.v1.SubmitRequest."
