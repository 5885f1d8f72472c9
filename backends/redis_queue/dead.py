"""The dead list: payloads from the groups' lists that are not valid tasks."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backends.redis_queue import wire
from backends.redis_queue.link import Link

SHOWN_BYTES = 64 * 1024
"""How much an entry shows of a payload that is too large to be read; the whole is in `taskgate:dead:large`."""


def with_place(reason: str, name: str) -> str:
    """The reason of an entry that shows a part only, with the command that reads the whole."""
    return f"{reason}; whole: HGET {wire.DEAD_LARGE} {name}"


def entry(reason: str, group: bytes, payload: bytes, size: int) -> str:
    """One entry of the list, as JSON. `payload` may be cut, `size` is that of all of it."""
    return json.dumps(
        {
            "reason": reason,
            "group": group.decode("utf-8", "backslashreplace"),
            "payload": base64.b64encode(payload).decode(),
            "bytes": size,
            "at": time.time(),
        }
    )


@dataclass(frozen=True, slots=True)
class DeadPayload:
    """One entry of the list; `entry` is the entry itself, `payload` perhaps cut, `size` that of all of it."""

    entry: bytes
    reason: str
    group: str
    payload: bytes
    size: int
    at: datetime


class DeadList:
    """Reads the list and takes entries out.

    Methods raise `EngineUnavailable`, `AnswerLost` or `EngineError`, and may be repeated without harm.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def read(self, most: int) -> list[DeadPayload]:
        """The oldest entries; each may be as large as the largest payload."""
        return [_parse(raw) for raw in await self._link.call("LRANGE", wire.DEAD, 0, most - 1)]

    async def remove(self, dead: DeadPayload) -> None:
        """Remove the entry, which is stored elsewhere now."""
        await self._link.call("LREM", wire.DEAD, 1, dead.entry)


def _parse(raw: bytes) -> DeadPayload:
    """Read an entry; anything in the list is accepted."""
    try:
        fields: Any = json.loads(raw.decode())
        return DeadPayload(
            raw,
            str(fields["reason"]),
            str(fields["group"]),
            base64.b64decode(fields["payload"]),
            int(fields["bytes"]),
            datetime.fromtimestamp(float(fields["at"]), UTC),
        )
    except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
        return DeadPayload(raw, "an entry that the gateway did not write", "", raw, len(raw), _now())


def _now() -> datetime:
    return datetime.now(UTC)
