"""Parses the bytes of a request without blocking other calls, and within the memory that requests may use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from gateway.errors import BodyTooLarge, InvalidRequest, TooMuchHeld
from gateway.sandbox.pool import Sandbox, SandboxExceeded, SandboxLost

Request = TypeVar("Request", bound=Message)
_T = TypeVar("_T")

#: Requests larger than this (bytes) are parsed in a thread, so that the event loop stays free.
LARGE = 64 * 1024
#: Beyond this one a child process looks at them first: 10 MB can be 2.6 million values, which take 170 MB and a second.
HEAVY = 256 * 1024
#: Of the bytes that a request may have, one value is allowed for so many, as over HTTP.
BYTES_OF_A_VALUE = 100
CHECK_SECONDS = 5.0


async def apart(size: int, work: Callable[..., _T], *args: Any, **options: Any) -> _T:
    """The result of `work`, done in a thread when it is about more than `LARGE` bytes."""
    if size <= LARGE:
        return work(*args, **options)
    return await asyncio.to_thread(work, *args, **options)


def parse(request_type: type[Request], raw: bytes) -> Request:
    """The message in these bytes. Raises `InvalidRequest`."""
    try:
        return request_type.FromString(raw)
    except (DecodeError, RecursionError):
        raise InvalidRequest(_invalid(request_type)) from None


async def parse_apart(request_type: type[Request], raw: bytes, sandbox: Sandbox, *, largest: int) -> Request:
    """As `parse`, for messages of any size; `largest` is the size of the largest. Raises `BodyTooLarge` and
    `TooMuchHeld`, too."""
    if len(raw) > HEAVY:
        try:
            wrong = await sandbox.run(CHECK_SECONDS, _check, request_type, raw, largest // BYTES_OF_A_VALUE)
        except SandboxLost:
            raise TooMuchHeld(SandboxLost.TOLD, retry_after=1) from None
        except SandboxExceeded as error:
            raise BodyTooLarge(f"The request cannot be read: {error}.") from None
        if wrong is not None:
            raise InvalidRequest(wrong)
    return await apart(len(raw), parse, request_type, raw)


def _check(request_type: type[Message], raw: bytes, most: int) -> str | None:
    """In the child: what is wrong with a request."""
    try:
        left = _count(request_type.FromString(raw), most)
    except (DecodeError, RecursionError):
        return _invalid(request_type)
    return None if left >= 0 else f"The request holds more than {most} values."


def _count(message: Message, left: int) -> int:
    """How many items of lists and maps there may be besides those of the message; negative: too many."""
    for field, value in message.ListFields():
        if not field.is_repeated:
            if field.message_type is not None:
                left = _count(value, left)
            continue
        left -= len(value)
        inner = field.message_type
        if left < 0 or inner is None:
            continue
        if inner.GetOptions().map_entry:
            is_text = inner.fields_by_name["value"].message_type is None
            value = () if is_text else value.values()
        for item in value:
            left = _count(item, left)
            if left < 0:
                return left
    return left


def _invalid(request_type: type[Message]) -> str:
    return f"The request is not a valid {request_type.DESCRIPTOR.full_name}."
