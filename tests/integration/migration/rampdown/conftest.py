"""A leader's rampdown over a real Redis and PostgreSQL; who starts what waits stands in the test's place."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from backends.memory.engine import CAPABILITIES, MemoryEngine
from backends.port import Capability, WorkflowEnginePort, WorkflowRef, WorkflowStart
from backends.redis_queue.engine import RedisQueueEngine
from gateway.migration.rampdown.rampdown import Rampdown
from gateway.routing.query import Scope
from gateway.routing.router import Router
from gateway.routing.stages import Stage
from gateway.routing.testing import StaticFlags, StaticOverrides
from gateway.storage.database import Database
from workers.testing.proxy import FaultyProxy

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Move:
    """A tenant's tasks in Redis, and the leaders that move them."""

    database: Database
    queue: Redis
    redis: RedisQueueEngine
    flags: StaticFlags
    overrides: StaticOverrides
    temporal: MemoryEngine = field(
        default_factory=lambda: MemoryEngine(name="temporal", capabilities=CAPABILITIES - {Capability.WITHDRAW})
    )
    down: set[str] = field(default_factory=set)
    started: list[str] = field(default_factory=list)
    """What was started on Temporal, in this order."""
    told: int = 0

    def leader(
        self,
        engine: WorkflowEnginePort | None = None,
        *,
        database: Database | None = None,
        configured: Collection[str] = ("redis", "temporal"),
        fenced: bool = True,
    ) -> Rampdown:
        """One that has just begun to lead."""
        engines = {"redis": engine or self.redis, "temporal": self.temporal}

        def on_duty() -> None:
            self.told += 1

        return Rampdown(
            database or self.database,
            engines,
            Router(self.flags, self.overrides, configured=frozenset(configured)),
            is_down=self.down.__contains__,
            wake=lambda: None,
            on_duty=on_duty,
            fenced=fenced,
        )

    def put(self, stage: Stage, *, tenant: str = "acme", **scope: str) -> None:
        self.flags.put(Scope(tenant, **scope), stage)

    async def hold(self, task_id: str, *, group: str = "g", pushed: bool = True, **columns: Any) -> str:
        """A task that Redis holds. The first letters of its id say when it was created: `a` before `b`."""
        values = {
            **{"tenant_id": "acme", "state": "queued", "backend": "redis", "epoch": 1, "stage": "off"},
            "created_at": LONG_AGO + timedelta(seconds=len(task_id) * 1000 + ord(task_id[0])),
            "task_type": "probe",
            **columns,
        }
        await self.database.execute(
            "INSERT INTO task_logs (id, group_id, task_type, status, payload, progress, retry_count)"
            " VALUES ($1, $2, $3, 'PROCESSING', $4::json, 0, 0)",
            task_id,
            group,
            values["task_type"],
            json.dumps({"task_id": task_id}),
        )
        names = ", ".join(values)
        places = ", ".join(f"${number}" for number in range(3, len(values) + 3))
        await self.database.execute(
            f"INSERT INTO taskgate.dispatch (task_id, group_id, {names}) VALUES ($1, $2, {places})",
            task_id,
            group,
            *values.values(),
        )
        if pushed:
            start = WorkflowStart(
                WorkflowRef(task_id, values["epoch"], group, values["task_type"]),
                {"group_id": group},
                timedelta(seconds=600),
                tenant_id=values["tenant_id"],
                priority=values.get("priority", 3),
            )
            await self.redis.start_workflow(start)
        return task_id

    async def states(self) -> dict[str, str]:
        """State and backend of each task."""
        rows = await self.database.fetch("SELECT task_id, state, backend FROM taskgate.dispatch ORDER BY task_id")
        return {row["task_id"]: f"{row['state']} {row['backend']}" for row in rows}

    async def in_redis(self) -> set[str]:
        """Tasks whose payloads lie in a group's list."""
        found = set()
        async for key in self.queue.scan_iter("queue:group:*"):
            found |= {json.loads(payload)["task_id"] for payload in await self.queue.lrange(key, 0, -1)}
        return found

    async def start_waiting(self) -> None:
        """In the dispatcher's place: what waits is started on Temporal, as its priority and time say."""
        rows = await self.database.fetch(
            "UPDATE taskgate.dispatch SET state = 'queued', backend = 'temporal', stage = 'rampdown', epoch = epoch + 1"
            " WHERE state = 'waiting' AND due_at <= now() AND held IS NULL RETURNING task_id, priority, due_at"
        )
        self.started += [row["task_id"] for row in sorted(rows, key=_turn)]

    @contextlib.asynccontextmanager
    async def starting(self) -> AsyncIterator[None]:
        """Meanwhile somebody starts what waits."""

        over = asyncio.Event()

        async def start() -> None:
            while not over.is_set():  # not cancelled: what was just started would not be noted
                await self.start_waiting()
                await asyncio.sleep(0.005)

        task = asyncio.create_task(start())
        try:
            yield
        finally:
            over.set()
            await task

    async def run(self, leader: Rampdown | None = None) -> None:
        """Until it has nothing more to move."""
        async with asyncio.timeout(30), self.starting():
            await (leader or self.leader()).tick()
        await self.start_waiting()


def _turn(row: asyncpg.Record) -> tuple[int, datetime, str]:
    return row["priority"], row["due_at"], row["task_id"]


@pytest_asyncio.fixture
async def distant_redis(redis_proxy: FaultyProxy, queue: Redis) -> AsyncIterator[RedisQueueEngine]:
    """Through `redis_proxy`."""
    engine = RedisQueueEngine(f"redis://127.0.0.1:{redis_proxy.port}/0", timeout=0.5)
    yield engine
    await engine.close()


@pytest.fixture
def move(database: Database, queue: Redis, redis_engine: RedisQueueEngine) -> Move:
    return Move(database, queue, redis_engine, StaticFlags(), StaticOverrides())


@pytest.fixture
def die_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], contextlib.AbstractContextManager[None]]:
    """`with die_at("after_withdraw"): …` ends the leader there."""

    @contextlib.contextmanager
    def arm(point: str) -> Any:
        def passing(reached: str) -> None:
            if reached == point:
                raise LeaderDied(point)

        with monkeypatch.context() as patch:
            patch.setattr("gateway.tasks.fault_points.passing", passing)
            try:
                yield
            except LeaderDied:
                return
        pytest.fail(f"nobody came to {point}")

    return arm


class LeaderDied(BaseException):
    """It does nothing more, and cleans nothing up."""
