"""`Stocktaking`: what all lists hold, the gateway's payloads and those of others."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from backends.port import Place, Stock
from backends.redis_queue import scripts, wire
from backends.redis_queue.ingress import LARGEST_BYTES
from backends.redis_queue.link import Argument, Link
from backends.redis_queue.pages import walk

_MOST_ENTRIES = 200
#: Matches the keys that may be lists of payloads; their prefixes are compared afterwards.
_KEYS = "[qt]*:[gp]r*"


class Stocktaking:
    """Looks page by page, and at all lists, whether a set names them or not. Raises as `Link.run` does."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def count(self) -> list[Stock]:
        """Count everything. Payloads move between groups' and workers' lists meanwhile, so those of workers are counted
        before and after, and the larger count is used.
        """
        groups, own = await self._lists()
        before = await self._held(own)
        found = await self._waiting(groups)
        after = await self._held(own)
        found += max(before, after, key=lambda stocks: sum(stock.tasks for stock in stocks))
        return _merged([*found, *await self._collected(), *await self._set_aside()])

    async def _lists(self) -> tuple[list[bytes], list[bytes]]:
        """The lists of groups, and of the gateway's workers, dead ones included."""
        groups: set[bytes] = set()
        own: set[bytes] = set()
        cursor = b"0"
        while True:
            cursor, keys = await self._link.call("SCAN", cursor, "MATCH", _KEYS, "COUNT", 1000)
            groups.update(key for key in keys if key.startswith(wire.GROUP.encode()))
            own.update(key for key in keys if key.startswith(wire.OWN.encode()))
            if cursor in (b"0", 0):
                break
        for worker in await self._link.call("SMEMBERS", wire.WORKERS):
            for group in await self._link.call("SMEMBERS", wire.HELD.encode() + worker):
                own.add(wire.OWN.encode() + worker + b":" + group)
        groups.update(wire.GROUP.encode() + group for group in await self._link.call("SMEMBERS", wire.ACTIVE_GROUPS))
        return sorted(groups), sorted(own)

    async def _held(self, own: Sequence[bytes]) -> list[Stock]:
        legacy = await self._count([wire.PROCESSING.encode()], Place.HELD_ELSEWHERE)
        return legacy + await self._count(own, Place.HELD)

    async def _waiting(self, lists: Sequence[bytes]) -> list[Stock]:
        return await self._count(lists, Place.WAITING, names_group=True)

    async def _count(self, lists: Sequence[bytes], place: Place, *, names_group: bool = False) -> list[Stock]:
        own, found, passed = 0, [], 0
        async for page in walk(self._link, scripts.COUNT, (LARGEST_BYTES,), list[Argument](lists)):
            first, *kinds = page.found
            own += first
            for number, fields, tasks, at in _fours(kinds):
                group = lists[passed + number - 1][len(wire.GROUP) :] if names_group else None
                found.append(_foreign(place, group, fields, tasks, at))
            passed += page.done
        return [Stock(place, False, own), *found] if own else found

    async def _collected(self) -> list[Stock]:
        entries = await self._link.call("HKEYS", wire.COLLECTED)
        found: list[Stock] = []
        while entries:
            seen, (own, *kinds) = await self._link.run(scripts.COUNT_COLLECTED, LARGEST_BYTES, *entries[:_MOST_ENTRIES])
            entries = entries[seen:]
            found += [_foreign(Place.COLLECTED, *kind) for kind in _fours(kinds)]
            if own:
                found.append(Stock(Place.COLLECTED, False, own))
        return found

    async def _set_aside(self) -> list[Stock]:
        found: list[Stock] = []
        async for page in walk(self._link, scripts.COUNT_DEAD, (), [wire.DEAD]):
            for index in range(0, len(page.found), 3):
                group, tasks, at = page.found[index : index + 3]
                found.append(Stock(Place.SET_ASIDE, True, tasks, _text(group), last_at=_time(at)))
        return found


def _fours(values: Sequence[Any]) -> Iterable[tuple[Any, bytes, int, bytes]]:
    for index in range(0, len(values), 4):
        first, fields, tasks, at = values[index : index + 4]
        yield first, fields, tasks, at


def _foreign(place: Place, group: bytes | None, fields: bytes, tasks: int, at: bytes) -> Stock:
    """One kind of foreign payloads; `group` is that of its list, where that has one."""
    try:
        named = json.loads(fields.decode()) if fields else {}
    except ValueError:  # not UTF-8
        named = {}
    return Stock(
        place,
        True,
        tasks,
        _text(group) if group is not None else named.get("group_id"),
        named.get("task_type", ""),
        named.get("tenant_id"),
        named.get("project_id"),
        _time(at),
    )


def _text(group: bytes) -> str | None:
    return group.decode("utf-8", "replace") or None


def _time(at: bytes) -> datetime | None:
    """None for a time that nobody can have meant."""
    seconds, now = float(at), datetime.now(UTC)
    if not math.isfinite(seconds) or not 0 < seconds < 1e11:
        return None
    return min(datetime.fromtimestamp(seconds, UTC), now)


def _merged(stocks: Iterable[Stock]) -> list[Stock]:
    """A kind once for each place, however many pages it was on."""
    kinds: dict[Stock, list[Stock]] = defaultdict(list)
    for one in stocks:
        kinds[replace(one, tasks=0, last_at=None)].append(one)
    return [
        replace(
            kind,
            tasks=sum(one.tasks for one in found),
            last_at=max((one.last_at for one in found if one.last_at is not None), default=None),
        )
        for kind, found in kinds.items()
    ]
