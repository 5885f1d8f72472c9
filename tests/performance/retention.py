"""(r) A million tasks that ended long ago are deleted while others run: rows a second, and what those others notice.

`RETENTION_TASKS`, `RETENTION_RATE` (tasks a second that run) and `RETENTION_SECONDS` (of each half) make it shorter.
"""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime
from typing import Any

import asyncpg

from gateway.retention.periods import Period, Periods
from gateway.retention.retention import Retention
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from tests.performance.stack import client, measured_stack

TASKS = int(os.environ.get("RETENTION_TASKS", "1000000"))
RATE = float(os.environ.get("RETENTION_RATE", "100"))
SECONDS = float(os.environ.get("RETENTION_SECONDS", "60"))
CHUNK = 50_000
PARTS = ("postgres", "redis", "gateway", "worker-redis")
SQL = Queries("tests.performance", "retention.sql")


async def run() -> dict[str, Any]:
    async with measured_stack(PARTS) as stack, client(stack, "initech") as http:
        database = await asyncpg.connect(stack.database_url)
        began = time.monotonic()
        for first in range(1, TASKS + 1, CHUNK):
            await database.execute(SQL.fill, "initech", min(CHUNK, TASKS - first + 1), first)
        await database.execute("VACUUM ANALYZE")
        figures: dict[str, Any] = {"tasks": TASKS, "fill_s": round(time.monotonic() - began, 1)}
        figures["bytes_a_task"] = await database.fetchval(SQL.bytes_of_task)
        figures["without"] = await _load(http, database)
        deleted = 0

        def count(table: str, rows: int) -> None:
            nonlocal deleted
            deleted += rows

        pool = Database(stack.database_url)
        keeper = Retention(pool, Periods(Period(30), None, Period(90), 30, 24), on_deleted=count)
        began = time.monotonic()
        pass_over = asyncio.create_task(keeper.tick())
        figures["with"] = await _load(http, database)
        figures["deleted"], figures["deleted_a_second"] = deleted, round(deleted / (time.monotonic() - began), 1)
        pass_over.cancel()
        await asyncio.gather(pass_over, return_exceptions=True)
        await pool.close()
        await database.close()
    return {"retention": figures}


async def _load(http: Any, database: asyncpg.Connection) -> dict[str, Any]:
    """Submits at a fixed rate; what the tasks had to wait until a worker ran them (milliseconds)."""
    since, began, sent = datetime.now(UTC), time.monotonic(), set()
    for number in range(int(SECONDS * RATE)):
        await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
        sent.add(asyncio.create_task(http.post("/gateway/v1/tasks", json={"type": "bench_noop", "payload": {}})))
    answers = await asyncio.gather(*sent)
    async with asyncio.timeout(120):
        while await database.fetchval(SQL.unfinished, since):
            await asyncio.sleep(0.1)
    row = await database.fetchrow(SQL.dispatch_times, since)
    assert row is not None
    refused = sum(not answer.is_success for answer in answers)
    return {**dict(row), "refused": refused, "load": round(os.getloadavg()[0], 2)}
