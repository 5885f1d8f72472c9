"""Requests to submit, as the submissions that HTTP knows, too: the rules are those of `gateway.submission.service`."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, Field, ValidationError
from taskgate.v1 import CallbackEvent, NewTask, OnConflict

from gateway.rpc.failures import InvalidFields, Violation, invalid
from gateway.rpc.values import Room, to_json
from gateway.submission.requests import TaskSubmission

#: Fields of a submission that have another name in the proto.
_NAMES = {
    "type": "task_type",
    "delay_seconds": "delay",
    "ttl_seconds": "ttl",
    "retry.initial_seconds": "retry.initial",
    "retry.maximum_seconds": "retry.maximum",
}
_TEXTS = ("project_id", "tenant_id", "group_id", "parent_task_id", "unique_key")
#: What most tasks have, and nothing else.
_PLAIN = {"task_type", "payload", "priority", *_TEXTS}

_CONFLICTS = {
    OnConflict.ON_CONFLICT_UNSPECIFIED: "refuse",
    OnConflict.ON_CONFLICT_REFUSE: "refuse",
    OnConflict.ON_CONFLICT_RETURN: "return",
}
_EVENTS = {
    CallbackEvent.CALLBACK_EVENT_COMPLETED: "completed",
    CallbackEvent.CALLBACK_EVENT_FAILED: "failed",
    CallbackEvent.CALLBACK_EVENT_STOPPED: "stopped",
}

#: Bounds of google.protobuf.Timestamp, in seconds: the years 1 to 9999.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Reason(BaseModel):
    """Why something is done, for the audit."""

    why: Annotated[str | None, Field(max_length=1000)] = None


def field_of(name: str) -> str:
    """The proto's name of a field of `TaskSubmission`."""
    return _NAMES.get(name, name)


def submission_of(task: NewTask, *, max_depth: int, at: str, room: Room) -> TaskSubmission:
    """What is asked for. `at` is the path of the message in the request. Raises `InvalidFields`."""
    given: dict[str, Any] = {
        "type": task.task_type,
        "payload": to_json(task.payload, max_depth=max_depth, at=f"{at}.payload", room=room),
    }
    present = {field.name for field, _ in task.ListFields()}
    for name in _TEXTS:
        if name in present:
            given[name] = storable(getattr(task, name), f"{at}.{name}")
    if "priority" in present:
        given["priority"] = task.priority
    if not present <= _PLAIN:
        _read_options(task, given, at)
    try:
        return TaskSubmission.model_validate(given)
    except ValidationError as error:
        raise InvalidFields(violations_of(error, at)) from None


def _read_options(task: NewTask, given: dict[str, Any], at: str) -> None:
    start = task.WhichOneof("start")
    if start == "run_at":
        given["run_at"] = time_of(task.run_at, f"{at}.run_at")
    elif start == "delay":
        given["delay_seconds"] = seconds_of(task.delay, f"{at}.delay")
    if task.labels:
        given["labels"] = {
            storable(key, f"{at}.labels"): storable(value, f"{at}.labels") for key, value in task.labels.items()
        }
    if task.on_conflict:
        if task.on_conflict not in _CONFLICTS:
            raise invalid(f"{at}.on_conflict", "not a value of this field")
        given["on_conflict"] = _CONFLICTS[task.on_conflict]
    if task.HasField("retry"):
        given["retry"] = _retry_of(task, f"{at}.retry")
    expiry = task.WhichOneof("expiry")
    if expiry == "deadline":
        given["deadline"] = time_of(task.deadline, f"{at}.deadline")
    elif expiry == "ttl":
        given["ttl_seconds"] = seconds_of(task.ttl, f"{at}.ttl")
    if task.HasField("callback"):
        given["callback"] = {"url": storable(task.callback.url, f"{at}.callback.url")}
        if task.callback.events:
            if any(event not in _EVENTS for event in task.callback.events):
                raise invalid(f"{at}.callback.events", "not an end of a task")
            given["callback"]["events"] = [_EVENTS[event] for event in task.callback.events]


def _retry_of(task: NewTask, at: str) -> dict[str, Any]:
    retry = task.retry
    given: dict[str, Any] = {}
    if retry.HasField("attempts"):
        given["attempts"] = retry.attempts
    if retry.HasField("initial"):
        given["initial_seconds"] = seconds_of(retry.initial, f"{at}.initial")
    if retry.HasField("coefficient"):
        given["coefficient"] = retry.coefficient
    if retry.HasField("maximum"):
        given["maximum_seconds"] = seconds_of(retry.maximum, f"{at}.maximum")
    return given


def violations_of(error: ValidationError, at: str = "") -> list[Violation]:
    """What is wrong, in the words of the proto; `at` is the path of the message that was checked."""
    found = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        # Of a list or a map the field itself is named: what stands in it is the client's.
        names = [str(part) for part in problem["loc"][:2] if isinstance(part, str)]
        name = field_of(".".join(names)) if names[:1] in (["retry"], ["callback"]) else field_of("".join(names[:1]))
        found.append(Violation(".".join(part for part in (at, name) if part) or "request", problem["msg"]))
    return found


def storable(text: str, at: str) -> str:
    """The text, if PostgreSQL can hold it. Raises `InvalidFields`."""
    if "\0" in text:
        raise invalid(at, "NUL characters cannot be stored")
    return text


class Fingerprint:
    """A digest of what is asked for: equal for equal requests, whatever the order of their bytes."""

    def __init__(self, method: str) -> None:
        self._digest = hashlib.sha256(method.encode() + b"\0[")
        self._between = b""

    def add(self, submission: TaskSubmission) -> None:
        """The next task that is asked for."""
        asked = orjson.dumps(submission.model_dump(exclude_unset=True), option=orjson.OPT_SORT_KEYS)
        self._digest.update(self._between + asked)
        self._between = b","

    def text(self) -> str:
        """The digest of a request with these tasks."""
        whole = self._digest.copy()
        whole.update(b"]")
        return whole.hexdigest()


def time_of(value: Timestamp, at: str) -> datetime:
    """The moment, to the microsecond. Raises `InvalidFields`."""
    if not (_FIRST_SECOND <= value.seconds <= _LAST_SECOND and 0 <= value.nanos < 10**9):
        raise invalid(at, "not a time between the years 1 and 9999")
    return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def put_time(value: Timestamp, moment: datetime) -> None:
    """Fill in a moment; many times faster than the message's own way, which each task would pay for."""
    since = moment - _EPOCH
    value.seconds, value.nanos = since.days * 86_400 + since.seconds, since.microseconds * 1000


def seconds_of(value: Duration, at: str) -> float:
    """The seconds. Raises `InvalidFields`."""
    if not -(10**9) < value.nanos < 10**9 or (value.seconds > 0 > value.nanos) or (value.seconds < 0 < value.nanos):
        raise invalid(at, "seconds and nanos do not make a duration")
    return value.seconds + value.nanos / 1e9
