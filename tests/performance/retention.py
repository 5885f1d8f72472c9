"""(r) A million tasks that ended long ago are deleted while others run: what those notice, and how large it all is.

Tasks run at a fixed rate all the time: alone for a while, beside the retention until it has deleted all or
`RETENTION_MOST_SECONDS` are over, and alone again. The rate is `RETENTION_RATE` (tasks a second), or less: what keeps
the machine, without retention, busy for `MOST_BUSY` of its time at most; it is stated. `RETENTION_TASKS` and
`RETENTION_SECONDS` (of each time alone) make it shorter: six minutes with 200,000 and `RETENTION_MOST_SECONDS=120`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx

from gateway.retention.periods import Period, Periods
from gateway.retention.retention import Retention
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from tests.performance.filling import filling
from tests.performance.processes import Busy
from tests.performance.stack import client, measured_stack

TASKS = int(os.environ.get("RETENTION_TASKS", "1000000"))
RATE = float(os.environ.get("RETENTION_RATE", "100"))
SECONDS = float(os.environ.get("RETENTION_SECONDS", "60"))
MOST_SECONDS = float(os.environ.get("RETENTION_MOST_SECONDS", "900"))
CHUNK = 50_000
#: A queue's waiting time grows without end as it comes near 1: above this, a small burst of whatever else is seen.
MOST_BUSY = 0.6
#: Seconds of one look at how busy the machine is; how many looks at most.
TRIAL, TRIALS = 15.0, 3
#: Seconds between two looks at the size.
LOOK = 2.0
PARTS = ("postgres", "redis", "gateway", "worker-redis")
SQL = Queries("tests.performance", "retention.sql")


async def run() -> dict[str, Any]:
    async with measured_stack(PARTS) as stack, client(stack, "initech") as http:
        database = await asyncpg.connect(stack.database_url)
        began = time.monotonic()
        async with filling(stack, database):
            for first in range(1, TASKS + 1, CHUNK):
                await database.execute(SQL.fill, "initech", min(CHUNK, TASKS - first + 1), first)
        figures: dict[str, Any] = {"tasks": TASKS, "fill_s": round(time.monotonic() - began, 1)}
        figures["bytes_a_task"] = await database.fetchval(SQL.bytes_of_task)
        pool = Database(stack.database_url)
        deleted = 0

        def count(table: str, rows: int) -> None:
            nonlocal deleted
            deleted += rows

        keeper = Retention(pool, Periods(Period(30), None, Period(90), 30, 24), on_deleted=count)

        async def for_a_while() -> None:
            await asyncio.sleep(SECONDS)

        async def trial() -> None:
            await asyncio.sleep(TRIAL)

        rate = RATE
        for _ in range(TRIALS):
            if (busy := (await _load(http, database, trial, rate))["busy"]) <= MOST_BUSY:
                break
            rate = round(0.9 * rate * MOST_BUSY / busy, 1)
        figures["rate"] = rate

        async def until_deleted() -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(MOST_SECONDS):
                    await keeper.tick()

        figures["before"] = await _load(http, database, for_a_while, rate)
        began = time.monotonic()
        sizes: list[int] = []
        watching = asyncio.create_task(_watch(stack.database_url, sizes))
        figures["with"] = await _load(http, database, until_deleted, rate)
        figures["deleted"], figures["seconds"] = deleted, round(time.monotonic() - began, 1)
        figures["deleted_a_second"] = round(deleted / (time.monotonic() - began), 1)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        figures["after"] = await _load(http, database, for_a_while, rate)
        figures["p95_ratio"] = _ratio(figures)
        figures["size"] = _size(sizes)
        await pool.close()
        await database.close()
    return {"retention": figures}


def _ratio(figures: dict[str, Any]) -> float:
    """P95 beside the retention against the mean of those before and after it."""
    return round(2 * figures["with"]["p95"] / (figures["before"]["p95"] + figures["after"]["p95"]), 2)


def _size(sizes: list[int]) -> dict[str, float]:
    """Of the whole database (GB), and how far its second half departs from its mean (per cent)."""
    half = sizes[len(sizes) // 2 :]
    mean = sum(half) / len(half)
    return {
        "begin_gb": round(sizes[0] / 1e9, 3),
        "middle_gb": round(half[0] / 1e9, 3),
        "end_gb": round(half[-1] / 1e9, 3),
        "second_half_low": round(100 * (min(half) / mean - 1), 1),
        "second_half_high": round(100 * (max(half) / mean - 1), 1),
    }


async def _watch(url: str, sizes: list[int]) -> None:
    database = await asyncpg.connect(url)
    try:
        while True:
            sizes.append(await database.fetchval(SQL.size))
            await asyncio.sleep(LOOK)
    finally:
        await database.close()


async def _load(
    http: httpx.AsyncClient, database: asyncpg.Connection, meanwhile: Callable[[], Awaitable[None]], rate: float
) -> dict[str, Any]:
    """Submits at this rate until that is done; what the tasks had to wait until a worker ran them (milliseconds)."""
    since, began, number, busy = datetime.now(UTC), time.monotonic(), 0, Busy()
    sent: set[asyncio.Task[Any]] = set()
    refused = 0

    def note(answered: asyncio.Task[Any]) -> None:
        nonlocal refused
        sent.discard(answered)
        refused += answered.exception() is not None or not answered.result().is_success

    other = asyncio.create_task(meanwhile())
    while not other.done():
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        one = asyncio.create_task(http.post("/gateway/v1/tasks", json={"type": "bench_noop", "payload": {}}))
        sent.add(one)
        one.add_done_callback(note)
        number += 1
    await other
    share = busy.share()
    await asyncio.gather(*sent, return_exceptions=True)
    async with asyncio.timeout(120):
        while await database.fetchval(SQL.unfinished, since):
            await asyncio.sleep(0.1)
    row = await database.fetchrow(SQL.dispatch_times, since)
    assert row is not None
    return {**dict(row), "refused": refused, "busy": round(share, 2), "load": round(os.getloadavg()[0], 2)}
