"""Requests to submit, as the submissions that HTTP knows, too: the rules are those of `gateway.submission`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import ValidationError
from taskgate.v1 import NewTask

from gateway.rpc.failures import InvalidFields, Violation, invalid
from gateway.rpc.values import to_json
from gateway.submission import TaskSubmission

#: Fields of a submission that have another name in the proto.
_NAMES = {"type": "task_type", "delay_seconds": "delay"}
_TEXTS = ("project_id", "tenant_id", "group_id", "parent_task_id")

#: Bounds of google.protobuf.Timestamp, in seconds: the years 1 to 9999.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def field_of(name: str) -> str:
    """The proto's name of a field of `TaskSubmission`."""
    return _NAMES.get(name, name)


def submission_of(task: NewTask, *, max_depth: int, at: str) -> TaskSubmission:
    """What is asked for. `at` is the path of the message in the request. Raises `InvalidFields`."""
    given: dict[str, Any] = {
        "type": task.task_type,
        "payload": to_json(task.payload, max_depth=max_depth, at=f"{at}.payload"),
    }
    for name in _TEXTS:
        if task.HasField(name):  # type: ignore[arg-type]
            text = getattr(task, name)
            if "\0" in text:
                raise invalid(f"{at}.{name}", "NUL characters cannot be stored")
            given[name] = text
    if task.HasField("priority"):
        given["priority"] = task.priority
    start = task.WhichOneof("start")
    if start == "run_at":
        given["run_at"] = _time(task.run_at, f"{at}.run_at")
    elif start == "delay":
        given["delay_seconds"] = _seconds(task.delay, f"{at}.delay")
    try:
        return TaskSubmission.model_validate(given)
    except ValidationError as error:
        raise InvalidFields(
            [
                Violation(f"{at}.{field_of(str(problem['loc'][0]))}", problem["msg"])
                for problem in error.errors(include_url=False, include_input=False, include_context=False)
            ]
        ) from None


def fingerprint(method: str, submissions: Sequence[TaskSubmission]) -> str:
    """A digest of what is asked for: equal for equal requests, whatever the order of their bytes."""
    asked = [submission.model_dump(exclude_unset=True) for submission in submissions]
    return hashlib.sha256(method.encode() + b"\0" + orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _time(value: Timestamp, at: str) -> datetime:
    if not (_FIRST_SECOND <= value.seconds <= _LAST_SECOND and 0 <= value.nanos < 10**9):
        raise invalid(at, "not a time between the years 1 and 9999")
    return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def _seconds(value: Duration, at: str) -> float:
    if not -(10**9) < value.nanos < 10**9 or (value.seconds > 0 > value.nanos) or (value.seconds < 0 < value.nanos):
        raise invalid(at, "seconds and nanos do not make a duration")
    return value.seconds + value.nanos / 1e9
