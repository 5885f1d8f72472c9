"""(c) What one task costs in PostgreSQL: versions of rows, entries in indexes, bytes of log; by table and index.

Read from the write-ahead log (`pg_walinspect`): what the gateway does beside tasks does not count, nor do images of
whole pages, which depend on checkpoints. `COST_TASKS` of them, ten a second, on Redis.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import asyncpg

from gateway.storage.queries import Queries
from tests.performance.stack import client, measured_stack

TASKS = int(os.environ.get("COST_TASKS", "500"))
WARM_UP = 50
PARTS = ("postgres", "redis", "gateway", "worker-redis")
SQL = Queries("tests.performance", "task_cost.sql")


async def run() -> dict[str, Any]:
    async with measured_stack(PARTS) as stack, client(stack, "initech") as http:
        database = await asyncpg.connect(stack.database_url)
        await database.execute("CREATE EXTENSION IF NOT EXISTS pg_walinspect")

        async def submit(count: int) -> None:
            for _ in range(count):
                answer = await http.post(
                    "/gateway/v1/tasks", json={"type": "bench_noop", "payload": {"content": "x" * 400}}
                )
                answer.raise_for_status()
                await asyncio.sleep(0.1)
            async with asyncio.timeout(120):
                while await database.fetchval(SQL.unfinished):
                    await asyncio.sleep(0.1)

        await submit(WARM_UP)
        await database.execute("CHECKPOINT")
        since = await database.fetchval("SELECT pg_current_wal_insert_lsn()")
        await submit(TASKS)
        rows = await database.fetch(SQL.cost, since)
        await database.close()
    of = {
        row["relation"]: {key: round(row[key] / TASKS, 2) for key in ("rows", "hot", "entries", "bytes")}
        for row in rows
    }
    total = {key: round(sum(one[key] for one in of.values()), 2) for key in ("rows", "hot", "entries", "bytes")}
    return {"cost": {"total": total} | of}
