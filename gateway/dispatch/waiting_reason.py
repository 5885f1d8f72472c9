"""Why a task waits, in one sentence for people."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import asyncpg

from backends.errors import EngineError
from backends.port import WorkflowEnginePort
from backends.temporal.names import UNREGISTERED_QUEUE
from gateway.access.placement import Tier
from gateway.dispatch.unserved import no_worker
from gateway.fleet.pools import pool_of
from gateway.graph.turns import TYPES_IN_TURN
from gateway.routing.router import RouteQuery, Router
from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.dispatch", "waiting_reason.sql")

#: A backend that does not answer within this time (seconds) counts as away.
PATIENCE = 1.0


class Reason(StrEnum):
    """The sentences. Two come from elsewhere: that no worker serves the type, that the backend is not configured.

    `docs/operators.md` says what to do about each; a test compares the two.
    """

    NOT_DUE = "it is not due before {}"
    RUNS_AGAIN = "its last run failed; it runs again at {}"
    PAUSED = "it is paused {}"
    TENANT_QUOTA = "its tenant runs as many tasks as its quota allows"
    PROJECT_QUOTA = "its project runs as many tasks as its quota allows"
    RECOVERY = "the database was restored, and a person decides whether it starts (taskgate recover)"
    HELD = "it is held back: {}"
    BACKEND_AWAY = "its backend {} is away"
    GROUP_LOCKED = "its group {} is locked: task {} runs"
    QUEUED = "it is queued on {} until a slot is free"
    ABOUT_TO_START = "it is about to start"


_OF_HELD = {
    "quota:running": Reason.TENANT_QUOTA,
    "quota:running:project": Reason.PROJECT_QUOTA,
    "recovery": Reason.RECOVERY,
}


class WaitingReasons:
    """Checks what a task needs next: its time, its limits, its backend, a worker, its group."""

    def __init__(self, database: Database, router: Router, engines: Mapping[str, WorkflowEnginePort]) -> None:
        self._db = database
        self._router = router
        self._engines = engines

    async def of(self, task: Mapping[str, Any]) -> str | None:
        """The reason for a row of the dispatch view; None if the task runs or is over. Raises `DatabaseUnavailable`."""
        if task["state"] not in ("waiting", "starting", "queued"):
            return None
        plan = await self._db.fetchval(SQL.plan, task["tenant_id"])
        tier = Tier.of_plan(plan)
        backend, problem = self._destination(task, plan)
        around = await self._db.fetchrow(
            SQL.surroundings,
            task["task_id"],
            backend,
            pool_of(backend, tier),
            UNREGISTERED_QUEUE,
            sorted(TYPES_IN_TURN),
        )
        if around is None:
            return None
        if task["state"] == "waiting" and (reason := _held_back(task, around)) is not None:
            return reason
        if around["is_again"]:
            return Reason.RUNS_AGAIN.format(around["due_at"].isoformat())
        if problem is not None:
            return problem
        if await self._is_away(backend):
            return Reason.BACKEND_AWAY.format(backend)
        if around["group_runs"] is not None:
            return Reason.GROUP_LOCKED.format(task["group_id"], around["group_runs"])
        if around["workers"] == 0:
            return no_worker(task["task_type"], backend)
        return Reason.QUEUED.format(backend) if task["state"] == "queued" else Reason.ABOUT_TO_START.value

    def _destination(self, task: Mapping[str, Any], plan: str | None) -> tuple[str, str | None]:
        """The backend that has the task or would get it, and why it cannot."""
        if task["state"] != "waiting" and task["backend"] is not None:
            return task["backend"], None
        route = self._router.route(
            RouteQuery(task["tenant_id"], task["task_type"], task["task_id"], task["project_id"], plan=plan)
        )
        return route.backend, route.problem

    async def _is_away(self, backend: str) -> bool:
        engine = self._engines.get(backend)
        if engine is None:
            return True
        try:
            async with asyncio.timeout(PATIENCE):
                await engine.check_health()
        except (TimeoutError, EngineError):
            return True
        return False


def _held_back(task: Mapping[str, Any], around: asyncpg.Record) -> str | None:
    if (held := task["held"]) is not None:
        if held.startswith("paused:"):
            return Reason.PAUSED.format(around["pause"] or "").strip().removesuffix(":")
        return _OF_HELD[held].value if held in _OF_HELD else Reason.HELD.format(held)
    if around["is_early"]:
        return Reason.NOT_DUE.format(task["not_before"].isoformat())
    return None
