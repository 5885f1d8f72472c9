"""The ingress bridge: adopts tasks that producers still push into Redis, for tenants who are on another backend.

Producers that were not pointed at the gateway migrate with their tenant all the same. A payload is moved, never copied:
from its group's list into the gateway's keeping in Redis, from there into PostgreSQL. Whoever dies in between leaves it
in one of the two, and the next leader goes on from there. Payloads of tenants who are on Redis stay where they are;
what is no task at all, or cannot be stored, goes to the dead list, whoever pushed it. Whatever else PostgreSQL says of
a payload, it waits in the gateway's keeping, and its group with it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import asyncpg

from backends.errors import EngineError
from backends.redis_queue import wire
from backends.redis_queue.ingress import Collected, Ingress, Sighting
from gateway.errors import DatabaseUnavailable
from gateway.ingress.late_copies import LateCopies
from gateway.ingress.postponed import Postponed
from gateway.ingress.remembered import Remembered
from gateway.routing.router import RouteQuery, Router
from gateway.routing.stages import REDIS
from gateway.storage.database import Database
from gateway.storage.driver_errors import UNSTORABLE, is_outage
from gateway.storage.queries import Queries
from gateway.tasks.lifecycle.transitions import ChangeNotifier
from gateway.tasks.payload import text_member
from gateway.tasks.queries.task_log import storable

log = logging.getLogger(__name__)
SQL = Queries("gateway.ingress", "bridge.sql")

#: A producer may push before the row of its task is committed: a payload without row is left alone for so many seconds.
ROW_GRACE = 2.0
#: A look at everything, not only at the ends of the lists, follows after so many seconds; later when it takes long,
#: since it may take one part in `SHARE` of the time.
EVERYTHING_SECONDS = 10.0
SHARE = 20


class _Rejected(Exception):
    """Why a payload cannot become a task."""


class Bridge:
    """One `tick` looks once; exactly one gateway does at a time (`gateway.recovery.leader`).

    `enabled` False: what a gateway took and did not settle before the bridge was switched off is settled, once.
    """

    def __init__(
        self,
        database: Database,
        ingress: Ingress,
        router: Router,
        notifier: ChangeNotifier,
        *,
        enabled: bool,
        max_attempts: int,
        wake: Callable[[], None],
        row_grace: float = ROW_GRACE,
    ) -> None:
        self._db = database
        self._ingress = ingress
        self._router = router
        self._notifier = notifier
        self._enabled = enabled
        self._max_attempts = max_attempts
        self._wake = wake
        self._row_grace = row_grace
        self._remembered = Remembered()
        self._postponed = Postponed()
        self._everything_at = 0.0
        """When the next look at everything is due, by its own cost."""
        self._soonest = 0.0
        """When it may be, if something is left for it."""
        self._settled = False

    async def tick(self) -> None:
        """Adopt what is due to be. Raises `DatabaseUnavailable`; a Redis that is away is left for later."""
        if self._settled and not self._enabled:
            return
        self._settled = True
        try:
            unsettled = await self._ingress.unsettled()
            self._postponed.keep(unsettled)
            for entry_id in unsettled:
                if self._postponed.is_due(entry_id) and (collected := await self._ingress.read(entry_id)) is not None:
                    await self._settle(collected)
            if self._enabled:
                await self._look()
        except EngineError as error:
            log.debug("the ingress bridge waits for Redis: %s", error.message)

    async def _look(self) -> None:
        began = time.monotonic()
        everywhere = began >= self._everything_at
        sightings = [
            self._remembered.recall(sighting, began) for sighting in await self._ingress.look(everywhere=everywhere)
        ]
        if everywhere:
            self._remembered.keep(sightings)
        blocked = self._postponed.groups
        readable = [sighting for sighting in sightings if sighting.task_id is not None]
        copies: dict[str | None, list[Sighting]] = {}
        for start in range(0, len(readable), 1000):
            for sighting in await self._choose(readable[start : start + 1000], began, everywhere=everywhere):
                copies.setdefault(sighting.task_id, []).append(sighting)
        if everywhere:
            now = time.monotonic()
            self._soonest = now + EVERYTHING_SECONDS
            self._everything_at = now + max(EVERYTHING_SECONDS, SHARE * (now - began))
        late = LateCopies(self._ingress, sightings)
        for task_id, of_one_task in copies.items():
            now = time.monotonic()  # the look that saw them may be long ago
            if task_id is not None and any(self._remembered.may_be_copied(sighting, now) for sighting in of_one_task):
                of_one_task += await late.of(task_id, dict.fromkeys(sighting.group for sighting in of_one_task))
            await self._take(of_one_task, blocked)
        for sighting in sightings:
            if sighting.task_id is None:
                await self._take([sighting], blocked)

    async def _choose(self, sightings: Sequence[Sighting], now: float, *, everywhere: bool) -> list[Sighting]:
        """Those whose tenant is on another backend now. What may have copies is left to a look at everything, which
        sees those, too.
        """
        named = [_storable(sighting) for sighting in sightings]
        rows = await self._db.fetch(
            SQL.look,
            [sighting.task_id for sighting in named],
            [sighting.tenant_id for sighting in named],
            [sighting.project_id for sighting in named],
            [sighting.group.decode("utf-8", "replace").replace("\0", "") for sighting in named],
        )
        chosen = []
        for sighting, row in zip(sightings, rows, strict=True):
            is_fresh = self._remembered.is_seen_since(sighting, now - self._row_grace)
            if row["is_redis_task"] or row["runs_elsewhere"] or (is_fresh and not row["has_row"]):
                continue
            route = self._router.route(
                RouteQuery(
                    row["tenant_id"],
                    sighting.task_type,
                    sighting.task_id or "",
                    sighting.project_id,
                    plan=row["plan"],
                )
            )
            if route.backend == REDIS or not route.usable:
                continue
            if everywhere or not self._remembered.may_be_copied(sighting, now):
                chosen.append(sighting)
            else:
                self._everything_at = min(self._everything_at, self._soonest)
        return chosen

    async def _take(self, of_one_task: Sequence[Sighting], blocked: set[bytes]) -> None:
        """Take the payloads of one task, and settle them, unless their group is `blocked`.

        All are taken before the first is settled, and the youngest first: a legacy worker takes from that end, and
        would run a copy beside the task.
        """
        taken: list[tuple[Sighting, Collected]] = []
        for sighting in reversed(of_one_task):
            if sighting.group not in blocked and (collected := await self._ingress.collect(sighting)) is not None:
                taken.append((sighting, collected))
        for sighting, collected in reversed(taken):
            await self._settle_taken(sighting, collected, blocked)

    async def _settle_taken(self, sighting: Sighting, collected: Collected, blocked: set[bytes]) -> None:
        """Its group is `blocked` from now on if the payload has to wait."""
        if sighting.task_id is None and (message := _message(collected)) is not None:
            # Redis could not read it, Python can: now it is known what it is, and can be judged like the others.
            read = replace(
                sighting,
                task_id=message.task_id,
                task_type=message.task_type,
                tenant_id=text_member(message.payload, "tenant_id"),
                project_id=text_member(message.payload, "project_id"),
            )
            now = time.monotonic()
            self._remembered.correct(sighting, read, now, since=now - self._row_grace)
            await self._ingress.put_back(collected)
            return
        if not await self._settle(collected):
            blocked.add(sighting.group)
        self._remembered.forget(sighting)

    async def _settle(self, collected: Collected) -> bool:
        """Make it a task, or set it aside; then it is no longer in the gateway's keeping. False when it has to wait."""
        try:
            task_id = await self._adopt(collected)
        except _Rejected as reason:
            log.warning("a payload in Redis was set aside: %s", reason)
            await self._ingress.set_aside(collected, str(reason))
            return True
        except UNSTORABLE as error:
            log.warning("a payload in Redis was set aside: %s", type(error).__name__)
            await self._ingress.set_aside(collected, f"cannot be stored: {type(error).__name__}")
            return True
        except (asyncpg.PostgresError, DatabaseUnavailable) as error:
            if is_outage(error):
                raise
            # It may be stored later, and must not stand in the way of other groups until then.
            log.warning("a payload from Redis waits: %s", type(error).__name__)
            self._postponed.postpone(collected.entry_id, collected.group)
            return False
        await self._ingress.drop(collected)
        with contextlib.suppress(asyncpg.PostgresError, DatabaseUnavailable):  # then `forget_old` does it
            await self._db.execute(SQL.forget, collected.entry_id)
        if task_id is not None:
            log.info("task %s, pushed into Redis by its producer, was adopted", task_id)
            self._notifier.changed(task_id)
            self._wake()
        return True

    async def _adopt(self, collected: Collected) -> str | None:
        """Both rows of the task, in one transaction; its id, or None when they were written before a crash."""
        message, group_id = _read(collected)
        tenant_id, project_id, user_id = (
            text_member(message.payload, name) for name in ("tenant_id", "project_id", "user_id")
        )
        async with self._db.transaction() as db:
            await db.execute(SQL.hurry)
            if await db.fetchval(SQL.note, collected.entry_id) is None:
                return None
            [place] = await db.fetch(SQL.look, [message.task_id], [tenant_id], [project_id], [group_id])
            if await db.fetchval(SQL.is_undecided, message.task_id):
                raise _Rejected("a person decides about it: see `taskgate recover list`")
            dispatch = await db.fetchrow(SQL.lock_dispatch, message.task_id)
            row = await db.fetchrow(SQL.lock_log, message.task_id)
            owner = dispatch or row
            if owner is not None and owner["tenant_id"] not in (None, place["tenant_id"]):
                raise _Rejected("its task_id belongs to another tenant")
            if dispatch is not None:
                raise _Rejected(f"duplicate task_id: the gateway has this task already ({dispatch['state']})")
            if row is not None and row["status"] not in (None, "PENDING", "PROCESSING"):
                raise _Rejected(f"duplicate task_id: the task is over ({row['status']})")
            if row is not None and row["worker_id"] is not None and row["status"] == "PROCESSING":
                raise _Rejected("duplicate task_id: a worker runs the task")
            stored = {**message.payload, "task_id": message.task_id, "task_type": message.task_type}
            await db.execute(SQL.reserve, message.task_id, group_id, message.task_type, json.dumps(stored))
            await db.execute(
                SQL.adopt,
                message.task_id,
                group_id,
                message.task_type,
                place["tenant_id"],
                project_id,
                user_id,
                self._max_attempts,
            )
        return message.task_id


def _read(collected: Collected) -> tuple[wire.TaskMessage, str]:
    """The task that a payload names, and its group. Raises `_Rejected`."""
    if collected.is_too_large:
        raise _Rejected(f"too large: {collected.size} bytes")
    try:
        message, group_id = wire.decode(collected.payload), collected.group.decode()
    except wire.NotATask as error:
        raise _Rejected(str(error)) from None
    except UnicodeDecodeError:
        raise _Rejected("the name of the group is not UTF-8") from None
    if not storable(group_id):
        raise _Rejected("the name of the group contains NUL")
    return message, group_id


def _message(collected: Collected) -> wire.TaskMessage | None:
    try:
        return _read(collected)[0]
    except _Rejected:
        return None


def _storable(sighting: Sighting) -> Sighting:
    """The sighting as PostgreSQL can be asked about it."""

    def known(value: str | None) -> str | None:
        return value if value and storable(value) else None

    return replace(
        sighting,
        task_id=known(sighting.task_id),
        tenant_id=known(sighting.tenant_id),
        project_id=known(sighting.project_id),
    )
