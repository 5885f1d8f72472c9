"""`Inventory`: everything that Redis knows of starts, and the way to take it out while nothing runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from backends.redis_queue import dead, wire
from backends.redis_queue.link import Link

KEEP_ENDED = timedelta(days=7)
"""How long the marker of an ended start is kept, with its result."""
#: Payloads that are read and taken out at a time.
PAGE = 50
_SCAN = 500


@dataclass(frozen=True, slots=True)
class Marker:
    """What is left of a start. `state` as in `WorkflowState`; empty when it was taken back."""

    workflow_id: str
    state: str
    error: str


@dataclass(frozen=True, slots=True)
class Found:
    """A payload in some list. `group` is that of the list, or b"" where it names none."""

    group: bytes
    payload: bytes


#: Keeps a page of payloads for good, and returns those that are no tasks, each with the reason.
Keep = Callable[[Sequence[Found]], Awaitable[Sequence[tuple[Found, str]]]]


class Inventory:
    """Looks at all keys. Methods raise `EngineUnavailable`, `AnswerLost` or `EngineError`, and may be repeated."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def markers(self) -> AsyncIterator[Marker]:
        """Every start that was pushed: while it waits for 30 days, after its end for 7."""
        async for keys in self._keys(f"{wire.START}*"):
            for first in range(0, len(keys), 16):
                some = keys[first : first + 16]
                answers = await asyncio.gather(*(self._link.call("HMGET", key, "state", "error") for key in some))
                for key, (state, error) in zip(some, answers, strict=True):
                    yield Marker(key.decode()[len(wire.START) :], (state or b"").decode(), (error or b"").decode())

    async def payloads(self) -> AsyncIterator[Found]:
        """Every payload in any list. Changes nothing."""
        async for key, group in self._lists():
            first = 0
            while page := await self._link.call("LRANGE", key, first, first + PAGE - 1):
                for payload in page:
                    yield Found(group, payload)
                first += PAGE
        async for _, found in self._collected():
            yield found

    async def sweep(self, keep: Keep) -> int:
        """Take every payload out of every list, each after `keep` has stored it; what is no task goes to the dead list.

        For a Redis that no gateway and no worker uses meanwhile. Returns how many there were.
        """
        taken = 0
        async for key, group in self._lists():
            while page := await self._link.call("LRANGE", key, 0, PAGE - 1):
                await self._keep([Found(group, payload) for payload in page], keep)
                for payload in page:
                    await self._link.call("LREM", key, 1, payload)
                taken += len(page)
        async for entry_id, found in self._collected():
            await self._keep([found], keep)
            await self._link.call("HDEL", wire.COLLECTED, entry_id)
            taken += 1
        await self._forget_holders()
        return taken

    async def _keep(self, page: Sequence[Found], keep: Keep) -> None:
        for found, reason in await keep(page):
            entry = dead.entry(reason, found.group, found.payload, len(found.payload))
            await self._link.call("RPUSH", wire.DEAD, entry)

    async def _forget_holders(self) -> None:
        """The workers of before and their locks, and the order of payloads that are no longer there."""
        workers = set(await self._link.call("SMEMBERS", wire.WORKERS))
        async for keys in self._keys(f"{wire.LOCK}*"):
            for key in keys:
                if await self._link.call("GET", key) in workers:
                    await self._link.call("DEL", key)
        for pattern in (f"{wire.HELD}*", f"{wire.ORDER}*"):
            async for keys in self._keys(pattern):
                if keys:
                    await self._link.call("DEL", *keys)
        await self._link.call("DEL", wire.WORKERS, wire.URGENT)

    async def _lists(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """Keys of lists, and the group of each."""
        async for keys in self._keys(f"{wire.GROUP}*"):
            for key in keys:
                yield key, key[len(wire.GROUP) :]
        async for keys in self._keys(f"{wire.OWN}*"):
            for key in keys:
                yield key, key[len(wire.OWN) :].partition(b":")[2]
        yield wire.PROCESSING.encode(), b""

    async def _collected(self) -> AsyncIterator[tuple[bytes, Found]]:
        for entry_id in await self._link.call("HKEYS", wire.COLLECTED):
            value = await self._link.call("HGET", wire.COLLECTED, entry_id)
            if value is not None:
                yield entry_id, Found(*wire.collected_parts(value))

    async def _keys(self, pattern: str) -> AsyncIterator[list[bytes]]:
        """All keys, page by page; each once, as no pass over the keys promises that."""
        seen: set[bytes] = set()
        cursor = b"0"
        while True:
            cursor, keys = await self._link.call("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN)
            yield [key for key in dict.fromkeys(keys) if key not in seen]
            seen.update(keys)
            if cursor in (b"0", 0):
                return
