"""What request bodies may cost: the time to decode them.

Small bodies are decoded where they are. The others are looked at in a child process first, which says whether the
gateway can decode them at once: a body of a few megabytes can hold millions of values, or as many errors. The items of
a list that is `APART` are not decoded at once: the child says where each stands.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from pydantic import TypeAdapter, ValidationError

from gateway.errors import BodyTooLarge, TooMuchHeld
from gateway.http.json_places import places_of_items
from gateway.sandbox.pool import Piecewise, Sandbox, SandboxExceeded, SandboxLost
from gateway.tasks.json_text import decode_checked, decode_json, refuse, repeated_fields

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


#: Mark of a model's field: a list whose items are decoded one by one by whoever uses them. In a large body they are
#: `Undecoded`.
APART = "apart"


class Undecoded:
    """An item of a body that a child has looked at."""

    __slots__ = ("_text",)

    def __init__(self, text: memoryview) -> None:
        self._text = text

    def __len__(self) -> int:
        return len(self._text)

    def decode(self) -> Any:
        return decode_checked(self._text)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a child found: errors, or how to decode the body. `apart`: the field whose items stand in `places`, if there
    is one, and the `rest` of the body."""

    errors: list[Any] = field(default_factory=list)
    apart: str | None = None
    rest: dict[str, Any] = field(default_factory=dict)
    places: list[tuple[int, int]] = field(default_factory=list)


class Bodies:
    """Looks at large bodies before they are decoded."""

    def __init__(self, sandbox: Sandbox, *, max_depth: int) -> None:
        self._sandbox = sandbox
        self._max_depth = max_depth
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def decode(self, body: bytes, model: Any, key_id: str, *, limit: int, strict: bool) -> tuple[Any, list[Any]]:
        """The value of a body, and what of it is no `model`: the first errors, as pydantic's, without what was sent.
        `strict`: a field that is there twice is an error, too.

        Only one body of a key is looked at at a time. Raises `json.JSONDecodeError` as `decode_json` does, also for
        more values than fit a body that may have `limit` bytes, `BodyTooLarge` for one that costs too much, and
        `TooMuchHeld`.
        """
        turn = self._turns.setdefault(key_id, asyncio.Lock())
        async with turn:
            try:
                found = await self._sandbox.run(
                    CHECK_SECONDS, _look, Piecewise(body), model, self._max_depth, limit // BYTES_OF_A_VALUE, strict
                )
            except SandboxLost:
                raise TooMuchHeld(SandboxLost.TOLD, retry_after=1) from None
            except SandboxExceeded as error:
                raise BodyTooLarge(f"The request body cannot be read: {error}.") from None
        if found.errors:
            return None, found.errors
        if found.apart is None:
            return decode_checked(body), []
        text = memoryview(body)
        return {**found.rest, found.apart: [Undecoded(text[start:end]) for start, end in found.places]}, []


def is_small(body: bytes) -> bool:
    """Whether a body can be decoded without looking at it first."""
    if len(body) <= SMALL_VALUES:
        return True
    return len(body) <= SMALL_BYTES and body.count(b",") + body.count(b"[") + body.count(b"{") <= SMALL_VALUES


def given_twice(body: bytes, value: Any) -> list[Any]:
    """An error, as pydantic's, for each field that an object of a body has more than once."""
    return [
        {"type": "given_twice", "loc": ("body", *path), "msg": "Given more than once", "input": None}
        for path in repeated_fields(body, value)
    ]


def _look(body: Any, model: Any, max_depth: int, max_values: int, strict: bool) -> Looked:
    """In the child, where the body is bytes. Values are counted before there are any."""
    rest = _STRING.sub(b"", body)
    if rest.count(b",") + rest.count(b"[") + rest.count(b"{") > max_values:
        refuse(f"more than {max_values} values")
    del rest
    value = decode_json(body, max_depth=max_depth)
    if strict and (twice := given_twice(body, value)):
        return Looked(twice)
    try:
        TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return Looked([{**each, "loc": ("body", *each["loc"])} for each in found[:MOST_ERRORS]])
    fields = getattr(model, "model_fields", {})
    apart = next((name for name, info in fields.items() if APART in info.metadata), None)
    if apart is None:
        return Looked()
    del value[apart]
    return Looked([], apart, value, places_of_items(body, apart))
