"""How values become Temporal payloads, and which ones are too large to travel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

LARGEST_INLINE = 1024 * 1024
"""No setting carries more than this by value: Temporal refuses an input over 2 MB, a request over 4 MB."""

RESULT_ELSEWHERE = {"taskgate": "the result is in task_logs"}
"""Returned to Temporal in place of a result that is too large for it."""

_JSON = orjson.OPT_NON_STR_KEYS


def data_converter(codec: PayloadCodec | None = None) -> DataConverter:
    """Plain JSON, readable in Temporal's UI; `codec` encrypts it, with the texts of failures (gateway and workers must
    use the same)."""
    if codec is None:
        return DataConverter.default
    failures = DefaultFailureConverterWithEncodedAttributes
    return replace(DataConverter.default, payload_codec=codec, failure_converter_class=failures)


def carried(payload: Mapping[str, Any], limit: int) -> dict[str, Any] | None:
    """The payload itself when its JSON is at most `limit` bytes, else None: it travels by reference."""
    limit = min(limit, LARGEST_INLINE)
    # Most large payloads are one long text; seeing that first spares encoding megabytes on the event loop.
    if sum(len(value) for value in payload.values() if isinstance(value, str)) > limit:
        return None
    plain = dict(payload)
    try:
        size = len(orjson.dumps(plain))
    except TypeError:
        # PostgreSQL already has what the encoder cannot express (an integer over 64 bits).
        return None
    return plain if size <= limit else None


def carried_result(result: Any, limit: int = LARGEST_INLINE) -> Any:
    """A handler's result as JSON that Temporal accepts; PostgreSQL has it whole in any case."""
    if result is None:
        return None
    try:
        text = orjson.dumps(result, default=str, option=_JSON)
    except TypeError:
        return RESULT_ELSEWHERE
    return orjson.loads(text) if len(text) <= limit else RESULT_ELSEWHERE
