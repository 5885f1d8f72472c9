"""(k) A tenant's waiting tasks move from Redis to Temporal, beside another tenant's single tasks, and alone.

How quickly they are started is compared with as many tasks of the same tenant that wait in PostgreSQL and become due at
once: what Temporal takes from this gateway in the same run. No worker of Redis runs.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import asyncpg
import httpx

from deploy.local import taskgate
from deploy.local.stack import EmbeddedStack
from tests.performance.fairness import single
from tests.performance.processes import cpu_of, tree
from tests.performance.stack import ALL, client, measured_stack

#: Tasks that move in one round, and as many that become due at once; some of them are started beside single tasks.
CROWD, ROUNDS = int(os.environ.get("BENCH_CROWD", "1000")), int(os.environ.get("BENCH_ROUNDS", "3"))
#: So many wait in the last two measurements, of which the first `OF_BACKLOG` are measured; 0: they are left out.
BACKLOG, OF_BACKLOG = int(os.environ.get("BENCH_BACKLOG", "0")), int(os.environ.get("BENCH_OF_BACKLOG", "5000"))
BATCH, PROJECTS, SINGLES = 1_000, 40, int(os.environ.get("BENCH_SINGLES", "100"))
#: Starts before a round is measured: what is compared is the pace, not how soon the first one comes.
FIRST = 30
#: A batch is sent in less than this (seconds).
SEND_SECONDS = 3.0

_NOT_STARTED = """
SELECT count(*) FROM taskgate.dispatch
WHERE tenant_id = 'initech' AND (state IN ('waiting', 'starting') OR (state = 'queued' AND backend = 'redis'))
"""
_OPEN = """
SELECT count(*) FROM taskgate.dispatch
WHERE tenant_id = 'initech' AND state IN ('waiting', 'starting', 'queued', 'running')
"""
_STOP_WAITING = """
UPDATE taskgate.dispatch SET state = 'stopped', finished_at = now() WHERE tenant_id = 'initech' AND state = 'waiting'
"""
_IN_REDIS = (
    "SELECT count(*) FROM taskgate.dispatch WHERE tenant_id = 'initech' AND state = 'queued' AND backend = 'redis'"
)

Count = Callable[[], Awaitable[int]]


async def processor_times(stack: EmbeddedStack) -> dict[str, float]:
    """Seconds of processor time that each part of the stack has used."""
    return {status.name: cpu_of(tree(status.pid)) for status in await stack.status() if status.pid}


def for_each_task(before: dict[str, float], after: dict[str, float], count: int) -> dict[str, float]:
    """Milliseconds of processor time a task, by part."""
    return {name: round(1000 * (after[name] - before[name]) / count, 2) for name in before}


async def set_stage(stack: EmbeddedStack, stage: str) -> None:
    await taskgate.run(
        *("flags", "set", "--tenant", "initech", "--stage", stage, "--by", "bench", "--why", "benchmark"),
        environment=stack.environment(),
    )


async def submit(crowd: httpx.AsyncClient, count: int, run_at: datetime | None = None) -> None:
    more = {} if run_at is None else {"run_at": run_at.isoformat()}
    for first in range(0, count, BATCH):
        tasks = [
            {"type": "bench_noop", "project_id": f"crowd-{number % PROJECTS}", **more}
            for number in range(first, min(first + BATCH, count))
        ]
        (await crowd.post("/gateway/v1/tasks/batch", json={"tasks": tasks})).raise_for_status()


async def falls_to(count: Count, wanted: int) -> None:
    while await count() > wanted:
        await asyncio.sleep(0.05)


@dataclass
class Rates:
    """Starts per second of one crowd, by round, and the latencies of the single tasks beside it (seconds)."""

    beside: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    singles: list[float] = field(default_factory=list)
    processor: list[dict[str, float]] = field(default_factory=list)

    async def add(
        self, count: Count, http: httpx.AsyncClient, database: asyncpg.Connection, most: int | None = None
    ) -> None:
        """Measure what waits, or `most` of it: beside single tasks for the first half, then alone.

        The first starts are not counted.
        """
        await falls_to(count, await count() - FIRST)
        waiting, began, latencies = await count(), time.monotonic(), len(self.singles)
        goal = 0 if most is None else waiting - most
        while len(self.singles) - latencies < SINGLES and await count() > (waiting + goal) / 2:
            self.singles.append(await single(http, database))
        left, beside = await count(), time.monotonic()
        await falls_to(count, goal)
        self.beside.append((waiting - left) / (beside - began))
        self.alone.append((left - goal) / (time.monotonic() - beside))

    @property
    def p95_ms(self) -> float:
        return sorted(self.singles)[int(len(self.singles) * 0.95)] * 1000


class Crowd:
    """Rounds of two crowds of one tenant: one that becomes due in PostgreSQL, and one that moves from Redis."""

    def __init__(self, stack: EmbeddedStack, database: asyncpg.Connection) -> None:
        self._stack = stack
        self._db = database
        self.own, self.moved = Rates(), Rates()

    async def round(self, crowd: httpx.AsyncClient, http: httpx.AsyncClient) -> None:
        await set_stage(self._stack, "live")
        due = datetime.now(UTC) + timedelta(seconds=SEND_SECONDS * (1 + CROWD / BATCH))
        await submit(crowd, CROWD, due)
        await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
        await self._run(self.own, http)

        await set_stage(self._stack, "off")
        await submit(crowd, CROWD)
        while await self._db.fetchval(_IN_REDIS) < CROWD:
            await asyncio.sleep(0.1)
        await set_stage(self._stack, "rampdown")
        await self._run(self.moved, http)
        assert await self._db.fetchval(_IN_REDIS) == 0

    async def backlog(self, crowd: httpx.AsyncClient, http: httpx.AsyncClient) -> dict[str, Any]:
        """The same with `BACKLOG` tasks that wait. What is not measured is stopped."""
        own, moved = Rates(), Rates()
        await set_stage(self._stack, "live")
        await submit(crowd, BACKLOG)
        await own.add(self._not_started, http, self._db, OF_BACKLOG)
        await self._db.execute(_STOP_WAITING)
        await falls_to(lambda: self._db.fetchval(_OPEN), 0)

        await set_stage(self._stack, "off")
        await submit(crowd, BACKLOG)
        while await self._db.fetchval(_IN_REDIS) < BACKLOG:
            await asyncio.sleep(0.5)
        await set_stage(self._stack, "rampdown")
        await moved.add(self._not_started, http, self._db, OF_BACKLOG)
        return {
            "backlog": BACKLOG,
            "backlog_own_per_s": [*rounded(own.beside), *rounded(own.alone)],
            "backlog_moved_per_s": [*rounded(moved.beside), *rounded(moved.alone)],
            "backlog_of_own_beside": round(moved.beside[0] / own.beside[0], 2),
            "backlog_of_own": round(moved.alone[0] / own.alone[0], 2),
            "backlog_p95_ms": round(moved.p95_ms, 1),
        }

    async def _not_started(self) -> int:
        return int(await self._db.fetchval(_NOT_STARTED))

    async def _run(self, rates: Rates, http: httpx.AsyncClient) -> None:
        before = await processor_times(self._stack)
        await rates.add(self._not_started, http, self._db)
        await falls_to(lambda: self._db.fetchval(_OPEN), 0)
        rates.processor.append(for_each_task(before, await processor_times(self._stack), CROWD))


async def measure(stack: EmbeddedStack, database: asyncpg.Connection) -> dict[str, Any]:
    await database.execute(
        "INSERT INTO projects (id, tenant_id, name, owner_id) SELECT 'crowd-' || n, id, 'bench', owner_id"
        " FROM tenants, generate_series(0, $1 - 1) n WHERE id = 'initech'",
        PROJECTS,
    )
    rounds = Crowd(stack, database)
    async with client(stack, "initech") as crowd, client(stack, "umbrella") as http:
        idle = sorted([await single(http, database) for _ in range(SINGLES * ROUNDS)])
        for _ in range(ROUNDS):
            await rounds.round(crowd, http)
        backlog = await rounds.backlog(crowd, http) if BACKLOG else {}
    own, moved, idle_p95_ms = rounds.own, rounds.moved, idle[int(len(idle) * 0.95)] * 1000
    return {
        "tasks": CROWD,
        "rounds": ROUNDS,
        "own_starts_per_s_beside": rounded(own.beside),
        "own_starts_per_s": rounded(own.alone),
        "moved_per_s_beside": rounded(moved.beside),
        "moved_per_s": rounded(moved.alone),
        "of_own_beside": round(median(moved.beside) / median(own.beside), 2),
        "of_own": round(median(moved.alone) / median(own.alone), 2),
        "own_processor_ms": own.processor,
        "moved_processor_ms": moved.processor,
        "singles": len(moved.singles),
        "idle_p95_ms": round(idle_p95_ms, 1),
        "own_beside_p95": round(own.p95_ms / idle_p95_ms, 2),
        "ratio_p95": round(moved.p95_ms / idle_p95_ms, 2),
        **backlog,
    }


def rounded(values: list[float]) -> list[float]:
    return [round(value, 1) for value in values]


async def run() -> dict[str, Any]:
    async with measured_stack([part for part in ALL if part != "worker-redis"]) as stack:
        database = await asyncpg.connect(stack.database_url)
        figures = await measure(stack, database)
        await database.close()
    return {"rampdown": figures}
