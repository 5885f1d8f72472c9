"""Which due tasks are taken next: by their time, or tenant by tenant while more are due than one look takes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import asyncpg

from gateway.dispatch.lane import Lane
from gateway.dispatch.open_starts import SQL
from gateway.errors import DatabaseUnavailable
from gateway.pacing.throttle import Throttle
from gateway.storage.database import Database, type_Connection
from gateway.storage.driver_errors import was_cut_short

#: Rows of one look, at most.
MOST = 100
#: The same while new tasks arrive, because each look delays them.
MOST_SHARED = 8
#: Rows of a look while a lane is full, at least: most tasks of a crowd wait for it, and are marked so once.
FEWEST_BESIDE = 32
#: Rows that are read at a time; a look ends when those that it has read hold so much (bytes of JSON).
ROWS_AT_A_TIME = 8
ENOUGH_BYTES = 16 * 1024 * 1024
#: Pause between two looks by time while there is a crowd (seconds); they show when it has ended.
BY_TIME_SECONDS = 2.0
#: Longest rest after a look for starts to repeat, or beside a full lane (seconds): what a dead gateway left, or what
#: another backend is to have, waits no longer.
LONGEST_REST = 2.0
#: Tenants in one look that goes by tenant.
TENANTS = 32


@dataclass(frozen=True, slots=True)
class Look:
    """What one look takes; the lanes decide it."""

    rows: int
    """Waiting tasks, at most."""
    repeats: int
    """Starts to repeat, at most."""
    full: list[str]
    """Backends that have enough to do; tasks that are marked as waiting for them are passed over."""
    room: Mapping[str, int]
    """How many each other backend takes. A look ends when it has that many tasks marked for one backend."""
    ready: list[str]
    """Backends whose unconfirmed starts may be repeated now."""
    guarded: list[str]
    """Backends that get new tasks now and whose workers claim: a crowd waits in the gateway, not in their queues."""
    ahead: int
    """A tenant with so many unclaimed tasks on guarded backends is passed over."""
    exempt: str
    """The only tenant with new tasks, to whom `ahead` does not apply. '' if there are several, or none."""


def plan_look(lanes: Mapping[str, Lane]) -> Look | None:
    """The next look; None while no lane has room. The end of a start causes a new look."""
    full = [name for name, lane in lanes.items() if not lane.has_room]
    if len(full) == len(lanes):
        return None
    room = min(max(lane.batch for lane in lanes.values() if lane.has_room), MOST)
    submitting = {name: lane.submitting.names for name, lane in lanes.items()}
    guarded = [name for name, tenants in submitting.items() if tenants and lanes[name].knows_claims]
    guarding: set[str] = set().union(*(submitting[name] for name in guarded))
    return Look(
        rows=min(room, MOST_SHARED) if any(submitting.values()) else max(room, FEWEST_BESIDE if full else 0),
        repeats=room,
        full=full,
        room={name: lane.batch for name, lane in lanes.items() if lane.has_room},
        ready=[name for name, lane in lanes.items() if name not in full and not lane.is_down],
        guarded=guarded,
        ahead=min(lane.limit for lane in lanes.values() if lane.has_room),
        exempt=next(iter(guarding)) if len(guarding) == 1 else "",
    )


class DueTasks:
    """Belongs to a dispatcher."""

    def __init__(self, lanes: Mapping[str, Lane], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lanes = lanes
        # Those are few, but they are looked for among all open tasks, of which a hundred thousand may wait in Redis.
        self._repeats = Throttle(longest=LONGEST_REST, clock=clock)
        # While a lane is full, what waits for it is read and passed over: that may be a hundred thousand, too.
        self._beside = Throttle(longest=LONGEST_REST, clock=clock)
        self._is_crowded = False
        self._by_time_at = 0.0
        self._last_tenant = ""

    @property
    def full(self) -> list[str]:
        """Backends that have enough to do."""
        return [name for name, lane in self._lanes.items() if not lane.has_room]

    @property
    def _ready(self) -> list[str]:
        """Backends whose unconfirmed starts may be repeated now."""
        return [name for name, lane in self._lanes.items() if lane.has_room and not lane.is_down]

    @property
    def is_shared(self) -> bool:
        """Whether new tasks arrive meanwhile."""
        return any(lane.submitting.names for lane in self._lanes.values())

    async def take(self, db: type_Connection) -> tuple[list[asyncpg.Record], bool]:
        """Some due tasks, locked, and whether there may be more. Starts to repeat come in addition to waiting tasks."""
        look = plan_look(self._lanes)
        if look is None:
            return [], False
        repeats, is_cut = await self._take_repeats(db, look)
        if is_cut:
            return repeats, True
        rows, is_more = await self._take_waiting(db, look)
        return repeats + rows, is_more or len(repeats) == look.repeats

    async def next_in(self, db: Database) -> float | None:
        """Seconds to the next row to look at, None without one. Raises `DatabaseUnavailable`."""
        full, rest = self.full, self._repeats.rest
        if full and (beside := self._beside.rest):
            return min(rest or beside, beside)
        with ExitStack() as looks:
            if full:
                looks.enter_context(_look(self._beside))
            if not rest:
                looks.enter_context(_look(self._repeats))
            seconds = await db.fetchval(SQL.next_due, full, [] if rest else self._ready)
        return min((float(one) for one in (seconds, rest or None) if one is not None), default=None)

    async def _take_repeats(self, db: type_Connection, look: Look) -> tuple[list[asyncpg.Record], bool]:
        if self._repeats.rest:
            return [], False
        with _look(self._repeats):
            return await _read(db, SQL.take_repeats, look.repeats, {}, look.ready)

    async def _take_waiting(self, db: type_Connection, look: Look) -> tuple[list[asyncpg.Record], bool]:
        if look.full and self._beside.rest:
            return [], False
        now = time.monotonic()
        if not self._is_crowded or now >= self._by_time_at:
            rows, self._is_crowded = await self._read_waiting(db, look, SQL.take_waiting)
            self._by_time_at = now + BY_TIME_SECONDS
            return rows, self._is_crowded
        tenants, is_last = await self._next_tenants(db, look)
        rows, _ = await self._read_waiting(db, look, SQL.take_in_turn, tenants) if tenants else ([], False)
        return rows, bool(rows) or not is_last

    async def _read_waiting(
        self, db: type_Connection, look: Look, query: str, *values: Any
    ) -> tuple[list[asyncpg.Record], bool]:
        """The rows, and whether they are as many as were wanted."""
        with _look(self._beside) if look.full else nullcontext():
            rows, is_cut = await _read(db, query, look.rows, look.room, look.full, *values)
        is_enough = is_cut or len(rows) == look.rows
        if look.full and is_enough:
            self._beside.forgive()
        return rows, is_enough

    async def _next_tenants(self, db: type_Connection, look: Look) -> tuple[Collection[str], bool]:
        """The tenants that are next and may have a turn, and whether they are the last of the round."""
        after, self._last_tenant = self._last_tenant, ""
        found = await db.fetch(SQL.next_tenants, after, TENANTS, look.guarded, look.ahead)
        if len(found) == TENANTS:
            self._last_tenant = found[-1]["id"]
        tenants = [row["id"] for row in found if row["may_start"] or row["id"] == look.exempt]
        return tenants, not after and len(found) < TENANTS


@contextmanager
def _look(throttle: Throttle) -> Iterator[None]:
    """Around a look. One that is cut off rests, so that other tasks have their turn meanwhile."""
    try:
        with throttle.look():
            yield
    except (TimeoutError, asyncpg.PostgresError, DatabaseUnavailable) as error:
        # Within a transaction nobody knows yet whether the server is there.
        if isinstance(error, TimeoutError) or was_cut_short(error):
            throttle.give_up()
        raise


async def _read(
    db: type_Connection, query: str, rows: int, room: Mapping[str, int], *values: Any
) -> tuple[list[asyncpg.Record], bool]:
    """At most so many rows, and whether it stopped before because they are enough. Only what is read is locked."""
    cursor = await db.cursor(query, rows, *values)
    found: list[asyncpg.Record] = []
    size, marked = 0, Counter[str]()
    while len(found) < rows:
        piece = await cursor.fetch(min(ROWS_AT_A_TIME, rows - len(found)))
        found += piece
        if len(piece) < ROWS_AT_A_TIME:
            break
        size += sum(len(row["payload"] or "") for row in piece)
        marked.update(row["backend"] for row in piece)
        if size >= ENOUGH_BYTES or any(marked[name] >= most for name, most in room.items()):
            return found, True
    return found, False
