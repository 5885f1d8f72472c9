"""What a worker and its handler processes say to each other: JSON, each message behind its length."""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from gateway.tasks.lifecycle.claim import Claim
from gateway.tasks.payload import encode_json
from workers.failure import Failure

_LENGTH = struct.Struct(">I")

#: Kinds of messages: to the handler process, and from it.
RUN, REHEARSE, CANCEL = "run", "rehearse", "cancel"
READY, DONE, FAILED, CANCELLED = "ready", "done", "failed", "cancelled"


def pack(kind: str, **members: Any) -> bytes:
    """One message."""
    body = encode_json({"kind": kind, **members}).encode("utf-8", "surrogatepass")
    return _LENGTH.pack(len(body)) + body


async def receive(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next message; None at the end."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        body = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    message: dict[str, Any] = json.loads(body.decode("utf-8", "surrogatepass"))
    return message


def claim_as_json(claim: Claim) -> dict[str, Any]:
    """Without the payload, which is a message's member of its own."""
    return {**asdict(claim), "payload": None}


def failure_as_json(failure: Failure) -> dict[str, Any]:
    delay = None if failure.delay is None else failure.delay.total_seconds()
    return {**asdict(failure), "delay": delay}


def failure_from_json(message: dict[str, Any]) -> Failure:
    delay = message["delay"]
    return Failure(**{**message, "delay": None if delay is None else timedelta(seconds=delay)})
