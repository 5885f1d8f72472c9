"""Payloads and results between JSON and Python (contract §5, §6), including everything that legacy code writes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from pydantic import WithJsonSchema

from backends.redis_queue.wire import WIRE_KEYS
from gateway.tasks.queries.task_log import storable

#: Any value of JSON, in models of the API.
JsonValue = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                *({"type": kind} for kind in ("string", "number", "boolean", "null")),
                {"type": "array", "items": {}},
                {"type": "object", "additionalProperties": True},
            ]
        }
    ),
]


#: Every digit as "0", everything else as NUL: a long number becomes a plain substring.
_DIGITS = bytes(48 if 48 <= byte <= 57 else 0 for byte in range(256))
_LONG_NUMBER = b"0" * 19


def may_hold_big_integers(text: bytes) -> bool:
    """Whether JSON may hold integers beyond 64 bits, which orjson turns into floats. Cheap; may be true for nothing."""
    return _LONG_NUMBER in text.translate(_DIGITS)


def decode_payload(text: str | None) -> dict[str, Any]:
    """The handler's payload from a row's JSON; anything but an object counts as empty."""
    value = _decode((text or "{}").encode())
    return without_wire_keys(value) if isinstance(value, dict) else {}


def encode_json(value: Any) -> str:
    """JSON of a value from a handler or a producer; values that JSON lacks are written as text."""
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:
        # Lone surrogates, integers beyond 64 bits, keys that are no text: `json` writes them as legacy code does.
        return json.dumps(value, default=str)


def without_wire_keys(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The handler's part of a payload."""
    return {key: value for key, value in payload.items() if key not in WIRE_KEYS}


def size_of(value: Any) -> int:
    """Bytes of its JSON, about; for the sum of many, so nothing is encoded."""
    size, rest = 0, [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            size += len(item)
        elif isinstance(item, dict):
            rest.extend(item.values())
            size += 8 * len(item)
        elif isinstance(item, list):
            rest.extend(item)
            size += 8 * len(item)
    return size


def text_member(payload: Mapping[str, Any], name: str) -> str | None:
    """A member that is a non-empty text; None for anything else."""
    value = payload.get(name)
    return value if isinstance(value, str) and value and storable(value) else None


def _decode(text: bytes) -> Any:
    # PostgreSQL's json keeps what orjson refuses, too: lone surrogates, a depth of thousands.
    readers = (json.loads, orjson.loads) if may_hold_big_integers(text) else (orjson.loads, json.loads)
    for read in readers:
        with contextlib.suppress(ValueError, RecursionError):
            return read(text)
    return {}
