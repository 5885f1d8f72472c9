"""What request bodies may cost: the time to decode them.

Small bodies are decoded where they are. The others are looked at in a child process first, which says whether the
gateway can decode them at once: a body of a few megabytes can hold millions of values, or as many errors.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any
from weakref import WeakValueDictionary

from pydantic import TypeAdapter, ValidationError

from gateway.errors import BodyTooLarge
from gateway.http.json_body import decode_json, refuse
from gateway.sandbox.pool import Sandbox, SandboxExceeded

#: Beyond either, a body is looked at in a child process first.
SMALL_BYTES = 256 * 1024
SMALL_VALUES = 10_000
#: A body may hold one value for so many bytes that it may have.
BYTES_OF_A_VALUE = 100
#: Errors that an answer repeats.
MOST_ERRORS = 100

CHECK_SECONDS = 5.0

#: A string, also one that the end of the text cuts off.
_STRING = re.compile(rb'"(?:[^"\\]+|\\.)*+(?:"|\\?\Z)', re.DOTALL)


class Bodies:
    """Looks at large bodies before they are decoded."""

    def __init__(self, sandbox: Sandbox, *, max_depth: int) -> None:
        self._sandbox = sandbox
        self._max_depth = max_depth
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def check(self, body: bytes, model: Any, key_id: str, *, limit: int) -> list[Any]:
        """What of a body is no `model`: the first errors, in pydantic's form, without what was sent.

        Only one body of a key is looked at at a time. Raises `json.JSONDecodeError` as `decode_json` does, also for
        more values than fit a body that may have `limit` bytes, and `BodyTooLarge` for one that costs too much.
        """
        turn = self._turns.setdefault(key_id, asyncio.Lock())
        async with turn:
            try:
                return await self._sandbox.run(
                    CHECK_SECONDS, _check, body, model, self._max_depth, limit // BYTES_OF_A_VALUE
                )
            except SandboxExceeded as error:
                raise BodyTooLarge(f"The request body cannot be read: {error}.") from None


def is_small(body: bytes) -> bool:
    """Whether a body can be decoded without looking at it first."""
    if len(body) <= SMALL_VALUES:
        return True
    return len(body) <= SMALL_BYTES and body.count(b",") + body.count(b"[") + body.count(b"{") <= SMALL_VALUES


def _check(body: bytes, model: Any, max_depth: int, max_values: int) -> list[Any]:
    """In the child. Values are counted before there are any."""
    rest = _STRING.sub(b"", body)
    if rest.count(b",") + rest.count(b"[") + rest.count(b"{") > max_values:
        refuse(f"more than {max_values} values")
    del rest
    value = decode_json(body, max_depth=max_depth)
    try:
        TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return [{**each, "loc": ("body", *each["loc"])} for each in found[:MOST_ERRORS]]
    return []
