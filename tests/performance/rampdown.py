"""(k) A tenant's waiting tasks move from Redis to Temporal, beside another tenant's single tasks, and alone.

How quickly they are started is compared with as many tasks of the same tenant that wait in PostgreSQL and become due at
once: what Temporal takes from this gateway in the same run. No worker of Redis runs.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx

from deploy.local import taskgate
from deploy.local.stack import EmbeddedStack
from tests.performance.fairness import single
from tests.performance.processes import cpu_of, tree
from tests.performance.stack import ALL, client, measured_stack

#: Tasks that move; half of them beside single tasks.
CROWD = int(os.environ.get("BENCH_CROWD", "2000"))
#: As many as those become due at once, but no more than this.
MOST_OWN = 4_000
BATCH, PROJECTS, SINGLES = 1_000, 40, int(os.environ.get("BENCH_SINGLES", "100"))
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


async def rates(
    count: Count, http: httpx.AsyncClient, database: asyncpg.Connection
) -> tuple[float, float, list[float]]:
    """Starts per second beside single tasks, for the first half of what waits, and alone; latencies of the singles."""
    all_of_them, began = await count(), time.monotonic()
    latencies: list[float] = []
    while len(latencies) < SINGLES and await count() > all_of_them / 2:
        latencies.append(await single(http, database))
    left, beside = await count(), time.monotonic()
    await falls_to(count, 0)
    alone = time.monotonic()
    return (all_of_them - left) / (beside - began), left / (alone - beside), sorted(latencies)


async def measure(stack: EmbeddedStack, database: asyncpg.Connection) -> dict[str, Any]:
    await database.execute(
        "INSERT INTO projects (id, tenant_id, name, owner_id) SELECT 'crowd-' || n, id, 'bench', owner_id"
        " FROM tenants, generate_series(0, $1 - 1) n WHERE id = 'initech'",
        PROJECTS,
    )

    async def not_started() -> int:
        return int(await database.fetchval(_NOT_STARTED))

    async with client(stack, "initech") as crowd, client(stack, "umbrella") as http:
        idle = sorted([await single(http, database) for _ in range(SINGLES)])
        await set_stage(stack, "live")
        own = min(CROWD, MOST_OWN)
        due = datetime.now(UTC) + timedelta(seconds=SEND_SECONDS * (1 + own / BATCH))
        await submit(crowd, own, due)
        await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
        before = await processor_times(stack)
        own_beside, own_alone, _ = await rates(not_started, http, database)
        await falls_to(lambda: database.fetchval(_OPEN), 0)
        own_processor = for_each_task(before, await processor_times(stack), own)

        await set_stage(stack, "off")
        await submit(crowd, CROWD)
        while await database.fetchval(_IN_REDIS) < CROWD:
            await asyncio.sleep(0.1)
        before = await processor_times(stack)
        await set_stage(stack, "rampdown")
        moved_beside, moved_alone, latencies = await rates(not_started, http, database)
        assert await database.fetchval(_IN_REDIS) == 0
        await falls_to(lambda: database.fetchval(_OPEN), 0)
        moved_processor = for_each_task(before, await processor_times(stack), CROWD)
    idle_p95, beside_p95 = idle[int(len(idle) * 0.95)], latencies[int(len(latencies) * 0.95)]
    return {
        "tasks": CROWD,
        "own_starts_per_s_beside": round(own_beside, 1),
        "own_starts_per_s": round(own_alone, 1),
        "moved_per_s_beside": round(moved_beside, 1),
        "moved_per_s": round(moved_alone, 1),
        "of_own_beside": round(moved_beside / own_beside, 2),
        "of_own": round(moved_alone / own_alone, 2),
        "own_processor_ms": own_processor,
        "moved_processor_ms": moved_processor,
        "singles": len(latencies),
        "idle_p95_ms": round(idle_p95 * 1000, 1),
        "beside_p95_ms": round(beside_p95 * 1000, 1),
        "ratio_p95": round(beside_p95 / idle_p95, 2),
    }


async def run() -> dict[str, Any]:
    async with measured_stack([part for part in ALL if part != "worker-redis"]) as stack:
        database = await asyncpg.connect(stack.database_url)
        figures = await measure(stack, database)
        await database.close()
    return {"rampdown": figures}
