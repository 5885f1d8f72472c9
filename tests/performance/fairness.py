"""(i) Ten thousand tasks of one standard tenant, and another's single tasks beside them, on both backends.

Latency is from before the request to the handler's first line; the single tasks come one after the other.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import asyncpg
import httpx

from deploy.local import taskgate
from deploy.local.stack import EmbeddedStack
from tests.performance.stack import client, measured_stack

CROWD, BATCH, SINGLES = 10_000, 2_000, int(os.environ.get("BENCH_SINGLES", "200"))
#: Of the crowd's tenant. Tasks of one group run one after the other on Redis; the crowd is to fill every slot.
PROJECTS = 40
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
    await database.execute(
        "INSERT INTO projects (id, tenant_id, name, owner_id) SELECT 'crowd-' || n, id, 'bench', owner_id"
        " FROM tenants, generate_series(0, $1 - 1) n WHERE id = 'initech'",
        PROJECTS,
    )
    async with client(stack, "initech") as crowd, client(stack, "umbrella") as http:
        idle = sorted([await single(http, database) for _ in range(SINGLES)])
        tasks = [{"type": "bench_noop", "project_id": f"crowd-{number % PROJECTS}"} for number in range(BATCH)]
        for _ in range(CROWD // BATCH):
            (await crowd.post("/gateway/v1/tasks/batch", json={"tasks": tasks})).raise_for_status()
        beside = []
        waiting, began = await database.fetchval(_UNDONE), time.monotonic()
        while len(beside) < SINGLES and await database.fetchval(_UNDONE):
            beside.append(await single(http, database))
        left, seconds = await database.fetchval(_UNDONE), time.monotonic() - began
    beside.sort()
    return {
        "idle_p50_ms": round(idle[len(idle) // 2] * 1000, 1),
        "idle_p95_ms": round(idle[int(len(idle) * 0.95)] * 1000, 1),
        "beside_p50_ms": round(beside[len(beside) // 2] * 1000, 1),
        "beside_p95_ms": round(beside[int(len(beside) * 0.95)] * 1000, 1),
        "ratio_p50": round(beside[len(beside) // 2] / idle[len(idle) // 2], 2),
        "ratio_p95": round(beside[int(len(beside) * 0.95)] / idle[int(len(idle) * 0.95)], 2),
        "crowd_before": waiting,
        "crowd_after": left,
        "crowd_per_s": round((waiting - left) / seconds, 1),
    }


async def run() -> dict[str, Any]:
    figures = {}
    for backend in os.environ.get("BENCH_BACKENDS", ",".join(STAGES)).split(","):
        async with measured_stack() as stack:
            database = await asyncpg.connect(stack.database_url)
            figures[backend] = await measure(stack, database, backend)
            await database.close()
    return {"fairness": figures}
