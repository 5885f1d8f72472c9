"""Rampdown: what an engine holds and nobody has begun follows the flag (docs/rampdown.md)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from backends.errors import EngineError
from backends.port import Capability, WorkflowEnginePort, WorkflowRef
from gateway.routing.query import RouteQuery
from gateway.routing.router import Router
from gateway.routing.stages import REDIS, Stage
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks import fault_points

log = logging.getLogger(__name__)
SQL = Queries("gateway.migration.rampdown", "rampdown.sql")
_PAGE, _REWAIT, _RECALL = (
    block.replace(":why_it_stays", SQL.why_it_stays) for block in (SQL.page, SQL.rewait, SQL.recall)
)

#: Tasks that are moved at once. Who has so many waiting to be started is given no more: the dispatcher sets the pace.
PAGE: Final = 100
#: Pause until the next look at a tenant that has enough waiting, which doubles while it has; and at one of whom nothing
#: is to be moved (seconds).
FEED_SECONDS, MOST_FEED_SECONDS = 0.05, 0.4
REST_SECONDS: Final = 0.5
#: No engine is waited for longer than this (seconds).
ANSWER_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Place:
    """After which task a tenant's next look goes on, and from when (monotonic clock).

    It is kept in memory only: a new leader begins at the first task, which does no harm.
    """

    after: tuple[int, datetime, str] = (0, datetime.fromtimestamp(0, UTC), "")
    at: float = 0.0
    is_moving: bool = False
    feed_seconds: float = FEED_SECONDS

    def fed(self) -> _Place:
        """The same place of a tenant that has enough waiting; the next pause is longer."""
        return replace(self, is_moving=True, feed_seconds=min(2 * self.feed_seconds, MOST_FEED_SECONDS))


def of_engine(block: str, backend: str) -> str:
    """A statement about what may move away from this backend."""
    return block.replace(":may_move", SQL.on_redis if backend == REDIS else SQL.on_others)


class Rampdown:
    """Belongs to the leader: exactly one gateway moves tasks at a time (`gateway.recovery.leader`).

    A task that moves waits in PostgreSQL and is started like any other that is due. How far that has come stands in its
    row and in the engine: whoever leads next asks both. `fenced` False: rows move whatever the engine says, for the
    fault suite to prove that its absence is seen.
    """

    def __init__(
        self,
        database: Database,
        engines: Mapping[str, WorkflowEnginePort],
        router: Router,
        *,
        is_down: Callable[[str], bool],
        wake: Callable[[], None],
        on_duty: Callable[[], None],
        fenced: bool = True,
    ) -> None:
        self._db = database
        self._engines = engines
        self._router = router
        self._is_down = is_down
        self._wake = wake
        self._on_duty = on_duty
        self._fenced = fenced
        self._places: dict[tuple[str, str], _Place] = {}

    async def tick(self) -> None:
        """Move what may move, as quickly as it is started, until nothing is left. Raises `DatabaseUnavailable`."""
        while (pause := await self.look()) is not None:
            await asyncio.sleep(pause)

    async def look(self) -> float | None:
        """Move a page of each tenant on each engine; seconds until the next look, None when nothing is under way."""
        pauses: list[float] = []
        is_reached = self._router.reaches(Stage.RAMPDOWN)
        for name, engine in self._engines.items():
            can_leave = is_reached and Capability.WITHDRAW in engine.capabilities and not self._is_down(name)
            if can_leave or Capability.FENCED in engine.capabilities:
                for row in await self._db.fetch(of_engine(SQL.tenants, name), name):
                    pause = await self._move_some(engine, row["id"])
                    pauses += [] if pause is None else [pause]
        return min(pauses, default=None)

    async def _move_some(self, engine: WorkflowEnginePort, tenant: str) -> float | None:
        """Move a page; as `look`. A tenant that has enough waiting is left alone."""
        key = (engine.name, tenant)
        place = self._places.get(key, _Place())
        if time.monotonic() < place.at:
            return None
        if place.is_moving and await self._is_fed(tenant):
            self._places[key] = place.fed()
            return place.feed_seconds
        rows = await self._db.fetch(of_engine(_PAGE, engine.name), engine.name, tenant, *place.after, PAGE)
        moving: dict[str, list[asyncpg.Record]] = {}
        for row in rows:
            if (target := self._target(engine, row)) is not None:
                moving.setdefault(target, []).append(row)
        if moving and not place.is_moving and await self._is_fed(tenant):
            self._places[key] = place.fed()
            return place.feed_seconds
        moved = sum([await self._move(engine, its, target) for target, its in moving.items()])
        after = _key(rows[-1]) if len(rows) == PAGE else _Place().after
        self._places[key] = _Place(after, 0.0 if moved else time.monotonic() + REST_SECONDS, is_moving=moved > 0)
        return 0.0 if moved else None

    async def _is_fed(self, tenant: str) -> bool:
        return bool(await self._db.fetchval(SQL.backlog, tenant, PAGE) >= PAGE)

    def _target(self, engine: WorkflowEnginePort, row: asyncpg.Record) -> str | None:
        """The backend to which this task moves now; None: it stays."""
        query = RouteQuery(
            row["tenant_id"],
            row["task_type"],
            row["task_id"],
            row["project_id"],
            plan=row["plan"],
        )
        route = self._router.route(query)
        if route.backend == engine.name or not route.usable or self._is_down(route.backend):
            return None
        goes_back = Capability.FENCED in engine.capabilities and row["stage"] == Stage.RAMPDOWN
        return route.backend if route.stage is Stage.RAMPDOWN or goes_back else None

    async def _move(self, engine: WorkflowEnginePort, rows: Sequence[asyncpg.Record], target: str) -> int:
        """Where every worker claims, the row decides and the engine is told; elsewhere the engine is asked first."""
        refs = [WorkflowRef(row["task_id"], row["epoch"], row["group_id"], row["task_type"]) for row in rows]
        if Capability.FENCED in engine.capabilities:
            moved = await self._write(_RECALL, refs, engine, target)
            self._on_duty()
        else:
            fault_points.passing("before_withdraw")
            withdrawn = await self._withdraw(engine, refs) if self._fenced else refs
            fault_points.passing("after_withdraw")
            moved = await self._write(_REWAIT, withdrawn, engine, target)
            fault_points.passing("after_rewait")
        if moved:
            self._wake()
        return moved

    async def _withdraw(self, engine: WorkflowEnginePort, refs: Sequence[WorkflowRef]) -> Sequence[WorkflowRef]:
        """What the engine has given back. An answer that was lost is given again when it is asked next."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await engine.withdraw_not_begun(refs)
        except (EngineError, TimeoutError) as error:
            log.debug("%s gives nothing back now: %s", engine.name, type(error).__name__)
            return []

    async def _write(self, query: str, refs: Sequence[WorkflowRef], engine: WorkflowEnginePort, target: str) -> int:
        # In one order, in which all lock them.
        columns = [list(column) for column in zip(*sorted((ref.task_id, ref.epoch) for ref in refs), strict=True)]
        moved = len(await self._db.fetch(query, *columns, engine.name, target)) if columns else 0
        if moved:
            log.info("%d tasks moved from %s to %s", moved, engine.name, target)
        return moved


def _key(row: asyncpg.Record) -> tuple[Any, ...]:
    return row["priority"], row["created_at"], row["task_id"]
