"""Shapes of JSON that a client relies on: exactly these members, each of its type or spelling."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any


class Mismatch(AssertionError):
    """The value does not have the shape."""


def check(value: Any, shape: Any, where: str = "body") -> None:
    """Raises `Mismatch` unless `value` has the shape.

    A dict is an object with exactly these members; a list of one shape an array of it; a type is that JSON type (bool
    is no int, int is a float); a tuple any of its shapes; a function is a test; anything else the value itself.
    """
    match shape:
        case dict():
            _is(isinstance(value, dict), where, value, "an object")
            _is(set(value) == set(shape), where, sorted(value), f"members {sorted(shape)}")
            for name, inner in shape.items():
                check(value[name], inner, f"{where}.{name}")
        case list():
            _is(isinstance(value, list), where, value, "an array")
            for index, item in enumerate(value):
                check(item, shape[0], f"{where}[{index}]")
        case tuple():
            for inner in shape:
                try:
                    return check(value, inner, where)
                except Mismatch:
                    continue
            _is(False, where, value, f"one of {shape}")
        case type():
            right = type(value) is shape or (shape is float and type(value) is int)
            _is(right, where, value, shape.__name__)
        case _ if callable(shape):
            _is(bool(shape(value)), where, value, getattr(shape, "__name__", "the test"))
        case _:
            _is(type(value) is type(shape) and value == shape, where, value, repr(shape))


def _is(right: bool, where: str, value: Any, wanted: str) -> None:
    if not right:
        raise Mismatch(f"{where} is {value!r}, not {wanted}")


def iso(value: Any) -> bool:
    """ISO 8601 with an offset, as `fromisoformat` and JavaScript's Date read it."""
    return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None


def uuid(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) is not None


def matches(pattern: str) -> Callable[[Any], bool]:
    """Text that the pattern matches as a whole."""

    def match(value: Any) -> bool:
        return isinstance(value, str) and re.fullmatch(pattern, value) is not None

    match.__name__ = f"text like {pattern}"
    return match


def equals(wanted: Any) -> Callable[[Any], bool]:
    """The value itself, where it is an object or an array."""

    def equal(value: Any) -> bool:
        return bool(value == wanted)

    equal.__name__ = f"equal to {wanted!r}"
    return equal


def percent(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 100


#: `TaskLogResponse` (contract §2).
TASK = {
    "id": str,
    "name": str,
    "status": matches("Pending|Processing|Completed|Failed|Stopped"),
    "created_at": (iso, None),
    "started_at": (iso, None),
    "completed_at": (iso, None),
    "error": (str, None),
    "worker_id": str,
    "retries": int,
    "duration": matches(r"-|\d{1,3}ms|\d+\.\ds"),
    "entity_id": (str, None),
    "entity_type": (str, None),
    "progress": percent,
    "result": (lambda value: isinstance(value, dict), None),
    "message": (str, None),
}

#: An entry of the list at `/api/v1/tasks/`.
LISTED_TASK = {
    "task_id": str,
    "task_type": str,
    "status": matches("pending|running|completed|failed|cancelled"),
    "created_at": (iso, None),
    "started_at": (iso, None),
    "completed_at": (iso, None),
    "progress": percent,
    "message": (str, None),
    "result": (lambda value: isinstance(value, dict), None),
    "error": (str, None),
}

#: Data of a `progress` event (contract §3).
PROGRESS = {
    "id": str,
    "status": matches("pending|processing|completed|failed|stopped"),
    "progress": percent,
    "message": (str, None),
    "result": (lambda value: isinstance(value, dict), None),
    "error": (str, None),
}

DETAIL = {"detail": str}

#: A request that FastAPI finds invalid.
INVALID = {"detail": [lambda error: {"type", "loc", "msg"} <= set(error)]}
