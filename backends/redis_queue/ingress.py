"""`Ingress`: payloads that legacy producers push into the group lists (contract §5)."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Container
from dataclasses import dataclass

from backends.redis_queue import dead, scripts, wire
from backends.redis_queue.link import Link
from backends.redis_queue.pages import walk

LARGEST_BYTES = 32 * 1024 * 1024
"""Larger payloads are not read; no request of MemStack's makes such a task."""
_ENDS = 50
"""How many payloads at each end of a longer list a quick look reads: producers and retries push at the ends."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A payload in a group's list that the gateway did not push. `digest` is its SHA-1.

    `task_id` is None if it is not a valid task, or too large to be read.
    """

    group: bytes
    digest: str
    size: int
    task_id: str | None = None
    task_type: str = ""
    tenant_id: str | None = None
    project_id: str | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """A payload in the gateway's own keeping; cut when `size` is over `LARGEST_BYTES`."""

    entry_id: str
    group: bytes
    payload: bytes
    size: int

    @property
    def is_too_large(self) -> bool:
        return self.size > LARGEST_BYTES


class Ingress:
    """Collects foreign payloads from the lists, one by one and never twice.

    Each is in exactly one place at any time: its group's list, the gateway's keeping, or given up. Methods raise
    `EngineUnavailable`, `AnswerLost` or `EngineError`, and may all be repeated without harm.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def look(self, *, everywhere: bool) -> list[Sighting]:
        """The foreign payloads that the lists hold now, oldest first in each group.

        Without `everywhere` only the ends of each list are read.
        """
        found: list[Sighting] = []
        groups = await self._groups(everywhere=everywhere)
        async for page in walk(self._link, scripts.PEEK, (LARGEST_BYTES, 0 if everywhere else _ENDS), groups):
            found += [_sighting(*page.found[index : index + 4]) for index in range(0, len(page.found), 4)]
        # Lists are walked from the right, where the youngest are.
        return list({(sighting.group, sighting.digest): sighting for sighting in reversed(found)}.values())

    async def look_since(self, group: bytes, seen: Container[tuple[bytes, str]]) -> list[Sighting]:
        """The foreign payloads that were pushed to the right end of a group's list since, oldest first.

        They are those behind the last of the `seen` ones (groups and digests).
        """
        found: list[Sighting] = []
        async with contextlib.aclosing(walk(self._link, scripts.PEEK, (LARGEST_BYTES, 0), [group])) as pages:
            async for page in pages:
                for index in range(0, len(page.found), 4):
                    sighting = _sighting(*page.found[index : index + 4])
                    if (group, sighting.digest) in seen:
                        return found[::-1]
                    found.append(sighting)
        return found[::-1]

    async def collect(self, sighting: Sighting) -> Collected | None:
        """Move it from its list into the gateway's keeping; None if somebody else was faster."""
        entry_id = uuid.uuid4().hex
        # A repetition finds nothing left, or an equal copy; what counts is what lies under the entry's id.
        async for _ in walk(self._link, scripts.COLLECT, (sighting.digest, sighting.size, entry_id), [sighting.group]):
            pass
        return await self.read(entry_id)

    async def unsettled(self) -> list[str]:
        """Ids of what was collected and neither dropped, set aside nor put back."""
        return [entry.decode() for entry in await self._link.call("HKEYS", wire.COLLECTED)]

    async def read(self, entry_id: str) -> Collected | None:
        """The payload in the gateway's keeping with this id."""
        answer = await self._link.run(scripts.COLLECTED, entry_id, LARGEST_BYTES, dead.SHOWN_BYTES)
        return None if answer is None else Collected(entry_id, *answer)

    async def drop(self, collected: Collected) -> None:
        """Remove it: the gateway has accepted it as a task."""
        await self._link.run(scripts.SETTLE, collected.entry_id, "drop")

    async def set_aside(self, collected: Collected, reason: str) -> None:
        """Move it to the dead list; a payload that is too large stays whole in the hash `taskgate:dead:large`."""
        is_cut = collected.size > len(collected.payload)
        if is_cut:
            reason = dead.with_place(reason, collected.entry_id)
        entry = dead.entry(reason, collected.group, collected.payload, collected.size)
        await self._link.run(scripts.SETTLE, collected.entry_id, "dead", entry, int(is_cut))

    async def put_back(self, collected: Collected) -> None:
        """Make it the next of its group again."""
        await self._link.run(scripts.SETTLE, collected.entry_id, "back")

    async def _groups(self, *, everywhere: bool) -> list[bytes]:
        if not everywhere:
            return list(await self._link.call("SMEMBERS", wire.ACTIVE_GROUPS))
        groups: set[bytes] = set()
        cursor = b"0"
        while True:
            # A legacy worker and a producer together may leave a list outside the active set.
            cursor, keys = await self._link.call("SCAN", cursor, "MATCH", f"{wire.GROUP}*", "COUNT", 1000)
            groups.update(key[len(wire.GROUP) :] for key in keys)
            if cursor in (b"0", 0):
                return sorted(groups)


def _sighting(group: bytes, digest: bytes, size: int, fields: bytes) -> Sighting:
    try:
        named = json.loads(fields.decode()) if fields else {}
    except ValueError:  # not UTF-8
        named = {}
    return Sighting(group, digest.decode(), size, **named)
