"""(a) From the HTTP request accepted to the handler's first line, at light load: both backends and the bare SDK."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import httpx
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from tests.performance.stack import client, measured_stack
from tests.performance.table import percentiles

WARM_UP = 10
ROUNDS = 200
PAUSE = 0.01  # between tasks: light load, one task at a time


async def through_gateway(http: httpx.AsyncClient, database: asyncpg.Connection) -> float:
    """One task; seconds from its acceptance (the gateway's clock, before the commit) to its handler's first line."""
    answer = await http.post("/gateway/v1/tasks", json={"type": "bench_noop", "payload": {}})
    answer.raise_for_status()
    task = answer.json()
    accepted = datetime.fromisoformat(task["created_at"]).timestamp()
    while True:
        began = await database.fetchval(
            "SELECT (result->>'began')::float8 FROM task_logs WHERE id = $1 AND status = 'COMPLETED'", task["task_id"]
        )
        if began is not None:
            return float(began) - accepted
        await asyncio.sleep(0.005)


@activity.defn(name="bench_bare")
async def bench_bare(sent: float) -> float:
    return time.time() - sent


async def through_sdk(temporal: Client) -> float:
    """The same through the bare SDK: a standalone activity, from before the call to the activity's first line."""
    return await temporal.execute_activity(
        bench_bare,
        time.time(),
        id=f"bench-{uuid.uuid4()}",
        task_queue="bench-bare",
        start_to_close_timeout=timedelta(seconds=30),
    )


async def run() -> dict[str, Any]:
    async with measured_stack() as stack:
        temporal = await Client.connect(stack.temporal_address, namespace=stack.temporal_namespace)
        database = await asyncpg.connect(stack.database_url)
        samples: dict[str, list[float]] = {"temporal": [], "redis": [], "sdk": []}
        bare = Worker(temporal, task_queue="bench-bare", activities=[bench_bare])
        async with client(stack, "umbrella") as live, client(stack, "initech") as off, bare:
            # In turns, so that what the machine does meanwhile falls on all three alike.
            for index in range(WARM_UP + ROUNDS):
                taken = {
                    "temporal": await through_gateway(live, database),
                    "redis": await through_gateway(off, database),
                    "sdk": await through_sdk(temporal),
                }
                if index >= WARM_UP:
                    for name, seconds in taken.items():
                        samples[name].append(seconds)
                await asyncio.sleep(PAUSE)
        await database.close()
    return {"dispatch": {name: percentiles(values) for name, values in samples.items()}}
