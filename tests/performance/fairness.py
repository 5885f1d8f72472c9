"""(i) Ten thousand tasks of one standard tenant, and another's single tasks beside them, on both backends.

Latency is from before the request to the handler's first line; the single tasks come one after the other.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg
import httpx

from deploy.local import taskgate
from deploy.local.stack import EmbeddedStack
from tests.performance.stack import client, measured_stack

CROWD, BATCH, SINGLES = 10_000, 2_000, 30
#: Stage by backend.
STAGES = {"redis": "off", "temporal": "live"}

_BEGAN = "SELECT (result->>'began')::float8 FROM task_logs WHERE id = $1 AND status = 'COMPLETED'"
_UNDONE = """
SELECT count(*) FROM taskgate.dispatch
WHERE tenant_id = 'initech' AND state IN ('waiting', 'starting', 'queued', 'running')
"""


async def single(http: httpx.AsyncClient, database: asyncpg.Connection, *, project_id: str | None = None) -> float:
    """Seconds from the request to the first line of the handler."""
    asked = time.time()
    answer = await http.post("/gateway/v1/tasks", json={"type": "bench_noop", "project_id": project_id})
    answer.raise_for_status()
    task_id = answer.json()["task_id"]
    async with asyncio.timeout(60):
        while (began := await database.fetchval(_BEGAN, task_id)) is None:
            await asyncio.sleep(0.01)
    return float(began) - asked


async def measure(stack: EmbeddedStack, database: asyncpg.Connection, backend: str) -> dict[str, Any]:
    for tenant in ("initech", "umbrella"):
        await taskgate.run(
            *("flags", "set", "--tenant", tenant, "--stage", STAGES[backend], "--by", "bench", "--why", "benchmark"),
            environment=stack.environment(),
        )
    async with client(stack, "initech") as crowd, client(stack, "umbrella") as http:
        idle = sorted([await single(http, database) for _ in range(SINGLES)])
        # Tasks of one group run one after the other on Redis; the crowd is to fill every slot.
        tasks = [{"type": "bench_noop"}] * BATCH
        for _ in range(CROWD // BATCH):
            (await crowd.post("/gateway/v1/tasks/batch", json={"tasks": tasks})).raise_for_status()
        beside = []
        waiting = await database.fetchval(_UNDONE)
        while len(beside) < SINGLES and await database.fetchval(_UNDONE):
            beside.append(await single(http, database))
        left = await database.fetchval(_UNDONE)
    beside.sort()
    return {
        "idle_p50_ms": round(idle[len(idle) // 2] * 1000, 1),
        "idle_p95_ms": round(idle[int(len(idle) * 0.95)] * 1000, 1),
        "beside_p50_ms": round(beside[len(beside) // 2] * 1000, 1),
        "beside_p95_ms": round(beside[int(len(beside) * 0.95)] * 1000, 1),
        "ratio_p50": round(beside[len(beside) // 2] / idle[len(idle) // 2], 2),
        "crowd_before": waiting,
        "crowd_after": left,
    }


async def run() -> dict[str, Any]:
    figures = {}
    for backend in STAGES:
        async with measured_stack() as stack:
            database = await asyncpg.connect(stack.database_url)
            figures[backend] = await measure(stack, database, backend)
            await database.close()
    return {"fairness": figures}
