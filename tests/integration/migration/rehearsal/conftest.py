"""A whole gateway, a worker of Redis and one of Temporal; and a rehearsal of its own over rows, without them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest_asyncio
from redis.asyncio import Redis

from backends.rehearsal import Objection
from contracts.people import Household
from contracts.task_queues import until_polled
from contracts.world import PATIENCE, Servers, World
from gateway.migration.rehearsal.comparisons import Comparisons
from gateway.migration.rehearsal.probes import Probes
from gateway.migration.rehearsal.rehearsal import Rehearsal
from gateway.migration.rehearsal.report import RehearsalReports, RehearsalSummary
from gateway.routing.flag_evaluation import FlagEvaluation
from gateway.routing.query import Scope
from gateway.routing.router import Router
from gateway.routing.stages import Stage
from gateway.routing.testing import StaticFlags
from gateway.storage.database import Database
from workers.testing.waiting import eventually

PATH = "/gateway/v1/migration/rehearsal"


class Rehearsing(World):
    """What an administrator reads of rehearsals."""

    async def read(self, home: Household, path: str = PATH, **params: Any) -> Any:
        answer = await self.client(self.admin).get(path, params={"tenant_id": home.tenant_id, **params})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def summary(self, home: Household) -> dict[str, Any]:
        return dict((await self.read(home))["rehearsals"][0])

    async def tasks(self, home: Household, **params: Any) -> list[dict[str, Any]]:
        return list((await self.read(home, f"{PATH}/tasks", **params))["tasks"])

    async def known(self) -> None:
        """Return once the gateway knows the types of each worker."""
        await eventually(
            lambda: self.database.fetchval("SELECT count(*) FROM taskgate.process WHERE kind = 'worker'"),
            lambda found: found >= len(self._workers),
            within=PATIENCE,
        )
        await self.gateway.queues.learn()

    async def looked_at(self, home: Household, tasks: int) -> dict[str, Any]:
        """The summary once so many were looked at."""
        return await eventually(
            lambda: self.summary(home),
            lambda one: one["ready"] + one["not_ready"] + one["unknown"] >= tasks,
            within=PATIENCE,
        )


NewWorld = Callable[..., Awaitable[Rehearsing]]


@pytest_asyncio.fixture
async def new_world(queue: Redis, own_servers: Servers, tmp_path: Path) -> AsyncIterator[NewWorld]:
    """`await new_world("dualwrite", temporal_address=…, without=("temporal",))`: those have no worker."""
    running = []

    async def start(
        stage: str, *, without: Sequence[str] = (), types: Sequence[str] = ("contract_probe",), **changes: Any
    ) -> Rehearsing:
        class Chosen(Rehearsing):
            def settings(self, **more: Any) -> Any:
                return super().settings(**{**changes, **more})

            def _reachable(self) -> list[str]:
                return [name for name in super()._reachable() if name not in without]

        world = Chosen(stage, own_servers, tmp_path)
        running.append(world)
        await world.start()
        await world.known()
        if "temporal" not in without:
            for task_type in types:
                await until_polled(world, f"shared-{task_type}")
        return world

    yield start
    for world in running:
        await world.stop()


@dataclass
class Stub:
    """A check that finds what the test says, by task id, else nothing."""

    found: dict[str, list[Objection]] = field(default_factory=dict)
    error: Exception | None = None
    asked: list[str] = field(default_factory=list)

    async def check(self, row: asyncpg.Record) -> list[Objection]:
        self.asked.append(row["task_id"])
        if self.error is not None:
            raise self.error
        return self.found.get(row["task_id"], [])


@dataclass
class Bench:
    """Rows, and the leader's rehearsal over them."""

    database: Database
    flags: StaticFlags
    check: Stub = field(default_factory=Stub)
    compared: list[tuple[str, bool, timedelta | None, timedelta | None]] = field(default_factory=list)

    def rehearsal(self, *, most_waiting: int = 10_000, probes: Probes | None = None) -> Rehearsal:
        return Rehearsal(
            self.database,
            self.check,  # type: ignore[arg-type]
            probes,
            self.router,
            Comparisons(self.router, self),
            most_waiting=most_waiting,
            inline_bytes=1000,
        )

    @property
    def router(self) -> Router:
        return Router(self.flags, None, frozenset({"redis", "temporal"}))

    def compare(self, evaluation: FlagEvaluation, **facts: Any) -> None:
        """In LaunchDarkly's place."""
        self.compared.append((str(evaluation.stage), facts["is_consistent"], facts["redis"], facts["temporal"]))

    async def start(self, task_id: str, *, tenant: str = "acme", group: str | None = None, **columns: Any) -> str:
        """A task whose start is confirmed."""
        values = {"backend": "redis", "stage": "dualwrite", "epoch": 1, "task_type": "probe", **columns}
        await self.database.execute(
            "INSERT INTO task_logs (id, group_id, task_type, status, payload, progress, retry_count)"
            " VALUES ($1, $2, $3, 'PROCESSING', '{\"content\": \"x\"}', 0, 0)",
            task_id,
            group or task_id,
            values["task_type"],
        )
        names = ", ".join(values)
        places = ", ".join(f"${number}" for number in range(4, len(values) + 4))
        await self.database.execute(
            f"INSERT INTO taskgate.dispatch (task_id, group_id, tenant_id, state, {names})"
            f" VALUES ($1, $2, $3, 'starting', {places})",
            task_id,
            group or task_id,
            tenant,
            *values.values(),
        )
        await self.database.execute("UPDATE taskgate.dispatch SET state = 'queued' WHERE task_id = $1", task_id)
        return task_id

    async def due(self) -> list[str]:
        """Tasks that wait to be looked at."""
        rows = await self.database.fetch("SELECT task_id FROM taskgate.rehearsal_due ORDER BY task_id")
        return [row["task_id"] for row in rows]

    @property
    def reports(self) -> RehearsalReports:
        return RehearsalReports(self.database, self.router)

    async def summary(self, tenant: str = "acme") -> RehearsalSummary:
        return (await self.reports.summaries(tenant, 24))[0]


@pytest_asyncio.fixture
async def bench(database: Database) -> Bench:
    await database.execute("INSERT INTO users (id, email, name) VALUES ('u', 'u', 'u')")
    for tenant in ("acme", "globex"):
        await database.execute(
            "INSERT INTO tenants (id, name, owner_id, plan) VALUES ($1, $1, 'u', 'enterprise')", tenant
        )
    flags = StaticFlags()
    flags.put(Scope("acme"), Stage.DUALWRITE)
    return Bench(database, flags)
