"""(f) What the fence costs: throughput of one worker per backend with the fence on and off, in turns, in one run.

Each round leaves `TASKS` tasks without work waiting, starts a worker with ten slots, and takes the time from its first
claim to its last end, on PostgreSQL's clock: starting the process does not count. A pair is one round with the fence
and one without, in changing order; the ratio is the median of the pairs' ratios.
"""

from __future__ import annotations

import asyncio
import os
import signal
from statistics import median
from typing import Any

import asyncpg
import httpx

from deploy.local import taskgate
from deploy.local.stack import EmbeddedStack
from tests.performance.stack import client, measured_stack

PAIRS = int(os.environ.get("PAIRS", "7"))
TASKS = int(os.environ.get("TASKS") or "300")
TENANT_OF = {"redis": "initech", "temporal": "umbrella"}

TAKEN = """
SELECT count(*) AS tasks, extract(epoch FROM max(finished_at) - min(claimed_at))::float8 AS seconds
FROM taskgate.dispatch WHERE task_id = ANY($1::text[]) AND state = 'completed'
"""


async def leave_waiting(http: httpx.AsyncClient, database: asyncpg.Connection) -> list[str]:
    """Tasks that the engine has and no worker took."""
    limit = asyncio.Semaphore(8)

    async def submit() -> str:
        async with limit:
            answer = await http.post("/gateway/v1/tasks", json={"type": "bench_noop", "payload": {}})
            answer.raise_for_status()
            return str(answer.json()["task_id"])

    tasks = list(await asyncio.gather(*(submit() for _ in range(TASKS))))
    query = "SELECT count(*) FROM taskgate.dispatch WHERE task_id = ANY($1::text[]) AND state = 'queued'"
    async with asyncio.timeout(120):
        while await database.fetchval(query, tasks) < TASKS:
            await asyncio.sleep(0.05)
    return tasks


async def one_round(stack: EmbeddedStack, backend: str, database: asyncpg.Connection, *, fenced: bool) -> float:
    """Tasks per second."""
    async with client(stack, TENANT_OF[backend]) as http:
        tasks = await leave_waiting(http, database)
    settings = {"TASKGATE_FENCE_ENABLED": str(fenced).lower(), "TASKGATE_WORKER_SLOTS": "10"}
    worker = await asyncio.create_subprocess_exec(
        *(taskgate.program(), "worker", "--backend", backend),
        env={**os.environ, **stack.environment(), **settings},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(300):
            while True:
                row = await database.fetchrow(TAKEN, tasks)
                if row is not None and row["tasks"] == TASKS:
                    return TASKS / float(row["seconds"])
                await asyncio.sleep(0.1)
    finally:
        worker.send_signal(signal.SIGTERM)
        await worker.wait()


async def run() -> dict[str, Any]:
    figures: dict[str, Any] = {}
    async with measured_stack(("postgres", "redis", "temporal", "gateway")) as stack:
        database = await asyncpg.connect(stack.database_url)
        for backend in TENANT_OF:
            await one_round(stack, backend, database, fenced=True)  # to warm up
            rates: dict[bool, list[float]] = {True: [], False: []}
            for pair in range(PAIRS):
                for fenced in (pair % 2 == 0, pair % 2 != 0):
                    rates[fenced].append(await one_round(stack, backend, database, fenced=fenced))
            ratios = [on / off for on, off in zip(rates[True], rates[False], strict=True)]
            figures[backend] = {
                "on per second": round(median(rates[True]), 1),
                "off per second": round(median(rates[False]), 1),
                "ratio": round(median(ratios), 3),
                "ratio least": round(min(ratios), 3),
                "ratio most": round(max(ratios), 3),
            }
        await database.close()
    return {"fence": figures}
