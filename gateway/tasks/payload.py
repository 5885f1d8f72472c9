"""Payloads and results between JSON and Python (contract §5, §6), including everything that legacy code writes."""

from __future__ import annotations

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


def decode_payload(text: str | None) -> dict[str, Any]:
    """The handler's payload from a row's JSON; anything but an object counts as empty."""
    try:
        value = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        # PostgreSQL's json keeps what orjson refuses: lone surrogates, integers beyond 64 bits, a depth of thousands.
        value = _lenient(text or "")
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


def _lenient(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {}
