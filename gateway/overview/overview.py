"""What the first page of the console shows: how tasks flow, and what needs attention."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from backends.errors import EngineError
from backends.port import WorkflowEnginePort
from gateway.access.placement import Caller
from gateway.dispatch.unserved import unserved
from gateway.limits.pauses import Pauses
from gateway.migration.guardrails.places import AUTHOR as GUARDRAIL
from gateway.routing.router import Router
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.queries.shared_counts import SharedCounts

SQL = Queries("gateway.overview", "overview.sql")

#: What ended, began and died is that of so many seconds.
WINDOW_SECONDS: Final = 600.0
#: Nobody counts further.
MOST: Final = 50_000
#: A reading that counted so many is kept for a while.
_MANY: Final = 5000
#: Of one kind, so many are named.
MOST_NAMED: Final = 50
#: An engine that does not answer within this time (seconds) counts as away.
_PATIENCE = 2.0

Kind = Literal[
    "engine_away",
    "no_worker",
    "tenant_taken_back",
    "guardrails_frozen",
    "plan_held",
    "dead_letters_grow",
    "paused",
    "routing",
]


@dataclass(slots=True)
class Flow:
    """Tasks of one backend; `backend` None: of those that have none yet, and ended without one.

    `waiting`: due and not begun; `later`: for a later time; `held`: by a quota or a pause. `completed`, `failed`,
    `stopped`: ended in the window. `dead`: open dead letters, `new_dead`: of the window. Seconds: how long
    the oldest that waits is due; the middle one and the 95th of a hundred waits, from due to begun, of the `begun`
    first runs of the window.
    """

    backend: str | None
    waiting: int = 0
    later: int = 0
    held: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    stopped: int = 0
    dead: int = 0
    new_dead: int = 0
    oldest_seconds: float | None = None
    begun: int = 0
    dispatch_p50_seconds: float | None = None
    dispatch_p95_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing that needs attention. What it is about has a value; `says` is for people."""

    kind: Kind
    tenant_id: str | None = None
    project_id: str | None = None
    task_type: str | None = None
    backend: str | None = None
    plan: str | None = None
    tasks: int | None = None
    since: datetime | None = None
    says: str | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """All of one moment. A count of `most` is at least that."""

    at: datetime
    window_seconds: float
    most: int
    flows: tuple[Flow, ...]
    concerns: tuple[Concern, ...]


class Overview:
    """A caller sees its tenants: their tasks, dead letters and pauses. An administrator sees all."""

    def __init__(
        self, database: Database, engines: Mapping[str, WorkflowEnginePort], router: Router, pauses: Pauses
    ) -> None:
        self._db = database
        self._engines = engines
        self._router = router
        self._pauses = pauses
        # Pages that are open read it as often as tasks change: what cost something is shared by those who see the same.
        self._shared = SharedCounts(many=_MANY, longest_age=2.0, stale=0.0, warm=0.0)

    async def look(self, caller: Caller) -> Picture:
        """Read it. The most urgent concern comes first. Raises `DatabaseUnavailable`, `Forbidden` (a project's key)."""
        tenants = None if caller.is_admin else sorted(caller.tenant_ids)
        flows, pauses, beside = await asyncio.gather(
            self._shared.get(None if tenants is None else tuple(tenants), lambda: self._flows(tenants)),
            self._pauses.list() if tenants is None else self._pauses.of_tenants(tenants),
            self._for_administrators() if tenants is None else _nothing(),
        )
        dead = [
            Concern("dead_letters_grow", backend=flow.backend, tasks=flow.new_dead) for flow in flows if flow.new_dead
        ]
        paused = [
            Concern(
                "paused",
                tenant_id=pause.tenant_id,
                project_id=pause.project_id,
                task_type=pause.task_type,
                since=pause.set_at,
                says=pause.why,
            )
            for pause in pauses[:MOST_NAMED]
        ]
        urgent = [one for one in beside if one.kind != "routing"]
        rest = [one for one in beside if one.kind == "routing"]
        return Picture(datetime.now(UTC), WINDOW_SECONDS, MOST, tuple(flows), (*urgent, *dead, *paused, *rest))

    async def _flows(self, tenants: list[str] | None) -> tuple[list[Flow], int]:
        """With how many tasks and dead letters that were."""
        mine = SQL.of_all if tenants is None else SQL.of_tenants
        (waiting,), opened, ended, dead = await asyncio.gather(
            self._db.fetch(SQL.waiting if tenants is None else SQL.waiting_of_tenants, tenants, MOST),
            self._db.fetch(SQL.open.replace("/*mine*/", mine), tenants),
            self._db.fetch(SQL.ended.replace("/*mine*/", mine), tenants, WINDOW_SECONDS),
            self._db.fetch(SQL.dead.replace("/*mine*/", mine), tenants, MOST, WINDOW_SECONDS),
        )
        flows: dict[str | None, Flow] = {None: Flow(None), **{name: Flow(name) for name in self._engines}}

        def of(row: Any) -> Flow:
            return flows.setdefault(row["backend"], Flow(row["backend"]))

        assert waiting is not None  # a query of aggregates always has a row
        here = flows[None]
        here.waiting, here.later, here.held = (min(waiting[name], MOST) for name in ("due", "later", "held"))
        here.oldest_seconds = waiting["oldest_seconds"]
        for row in opened:
            flow = of(row)
            flow.waiting += row["queued"]
            flow.later += row["later"]
            flow.running = row["running"]
            flow.oldest_seconds = max(
                (age for age in (flow.oldest_seconds, row["oldest_seconds"]) if age is not None), default=None
            )
        for row in ended:
            flow = of(row)
            flow.completed, flow.failed, flow.stopped = row["completed"], row["failed"], row["stopped"]
            flow.begun = row["begun"]
            flow.dispatch_p50_seconds, flow.dispatch_p95_seconds = (
                (max(seconds, 0.0) for seconds in row["waited"]) if row["begun"] else (None, None)
            )
        for row in dead:
            flow = of(row)
            flow.dead, flow.new_dead = row["dead"], row["new"]
        counted = sum(
            one.waiting + one.later + one.held + one.running + one.completed + one.failed + one.stopped + one.dead
            for one in flows.values()
        )
        return list(flows.values()), counted

    async def _for_administrators(self) -> list[Concern]:
        """What is about the whole installation, the most urgent first."""
        away, idle, taken, frozen, plans = await asyncio.gather(
            asyncio.gather(*(self._away(name) for name in self._engines)),
            unserved(self._db),
            self._db.fetch(SQL.taken_back, MOST_NAMED, GUARDRAIL),
            self._db.fetch(SQL.frozen),
            self._db.fetch(SQL.held_plans, MOST_NAMED),
        )
        return [
            *(one for one in away if one is not None),
            *(
                Concern("no_worker", task_type=task_type, backend=backend, tasks=tasks)
                for (task_type, backend), tasks in idle.most_common(MOST_NAMED)
            ),
            *(Concern("guardrails_frozen", **row) for row in frozen),
            *(Concern("tenant_taken_back", **row) for row in taken),
            *(Concern("plan_held", **row) for row in plans),
            *(Concern("routing", says=says) for says in self._router.problems()[:MOST_NAMED]),
        ]

    async def _away(self, name: str) -> Concern | None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._engines[name].check_health()
        except TimeoutError:
            return Concern("engine_away", backend=name, says=f"no answer within {_PATIENCE:g} s")
        except EngineError as error:
            return Concern("engine_away", backend=name, says=type(error).__doc__)
        return None


async def _nothing() -> list[Concern]:
    return []
