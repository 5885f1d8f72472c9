"""(r) A million tasks that ended long ago are deleted while others run: what those notice, and how large it all is.

Tasks run at a fixed rate all the time, in turns alone and beside the retention, until it has deleted all or
`RETENTION_ROUNDS` are over: what else happens on the machine, or in the tables, is then in both. The rate is
`RETENTION_RATE` (tasks a second), or less: what keeps the machine, without retention, busy for `MOST_BUSY` of its time
at most; it is stated. `RETENTION_TASKS`, `RETENTION_SECONDS` and `RETENTION_ALONE` (of a turn with it and without) and
the rounds make it shorter: six minutes with 200,000 tasks and 6 rounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import psutil

from deploy.local.stack import EmbeddedStack
from gateway.retention.periods import Period, Periods
from gateway.retention.retention import Retention
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from tests.performance.filling import filling
from tests.performance.processes import Busy, cpu_of, tree
from tests.performance.stack import client, measured_stack
from tests.performance.table import paired_ratio, percentiles

TASKS = int(os.environ.get("RETENTION_TASKS", "1000000"))
RATE = float(os.environ.get("RETENTION_RATE", "100"))
ROUNDS = int(os.environ.get("RETENTION_ROUNDS", "60"))
SECONDS = float(os.environ.get("RETENTION_SECONDS", "40"))
ALONE = float(os.environ.get("RETENTION_ALONE", "15"))
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
    # The gateway's own retention would begin at once.
    os.environ["TASKGATE_RETENTION_TASK_DAYS"] = "3650"
    try:
        async with measured_stack(PARTS) as stack, client(stack, "initech") as http:
            return {"retention": await _measure(stack, http)}
    finally:
        del os.environ["TASKGATE_RETENTION_TASK_DAYS"]


async def _measure(stack: EmbeddedStack, http: httpx.AsyncClient) -> dict[str, Any]:
    database = await asyncpg.connect(stack.database_url)
    began = time.monotonic()
    async with filling(stack, database):
        for first in range(1, TASKS + 1, CHUNK):
            await database.execute(SQL.fill, "initech", min(CHUNK, TASKS - first + 1), first)
    figures: dict[str, Any] = {"tasks": TASKS, "fill_s": round(time.monotonic() - began, 1)}
    figures["bytes_a_task"] = await database.fetchval(SQL.bytes_of_task)
    load = Load(stack, http, database)
    for _ in range(TRIALS):
        if (busy := (await load.during(asyncio.sleep(TRIAL)))["busy"]) <= MOST_BUSY:
            break
        load.rate = round(0.9 * load.rate * MOST_BUSY / busy, 1)
    figures["rate"] = load.rate

    pool = Database(stack.database_url)
    deleted = 0

    def count(table: str, rows: int) -> None:
        nonlocal deleted
        deleted += rows

    keeper = Retention(pool, Periods(Period(30), None, Period(90), 30, 24), on_deleted=count)
    done, deleting = False, 0.0

    async def delete() -> None:
        nonlocal done, deleting
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                await keeper.tick()
                done = True
        deleting += time.monotonic() - began

    alone: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []
    sizes: list[int] = []
    watching = asyncio.create_task(_watch(stack.database_url, sizes))
    while not done and len(alone) < ROUNDS:
        alone.append(await load.during(asyncio.sleep(ALONE)))
        beside.append(await load.during(delete()))
        print([f"{turn[-1]['p95_ms']} ms" for turn in (alone, beside)], deleted, sizes[-1:], flush=True)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    figures |= {"alone": _all(alone), "beside": _all(beside)}
    figures["p95_ratio"] = paired_ratio([one["p95_ms"] for one in beside], [one["p95_ms"] for one in alone])
    figures["deleted"], figures["deleted_a_second"] = deleted, round(deleted / deleting, 1)
    figures["size"] = _size(sizes)
    await pool.close()
    await database.close()
    return figures


class Load:
    """Tasks at a fixed rate. How busy: shares of the machine, of all on it and of what is not this benchmark's."""

    def __init__(self, stack: EmbeddedStack, http: httpx.AsyncClient, database: asyncpg.Connection) -> None:
        self._stack, self._http, self._db = stack, http, database
        self.rate = RATE

    async def during(self, other: Coroutine[Any, Any, None]) -> dict[str, Any]:
        """Until that is done; what the tasks had to wait until a worker ran them."""
        since, began, number, busy = datetime.now(UTC), time.monotonic(), 0, Busy()
        used = await self._used()
        sent: set[asyncio.Task[Any]] = set()
        refused = 0

        def note(answered: asyncio.Task[Any]) -> None:
            nonlocal refused
            sent.discard(answered)
            refused += answered.exception() is not None or not answered.result().is_success

        meanwhile = asyncio.create_task(other)
        while not meanwhile.done():
            await asyncio.sleep(max(0.0, began + number / self.rate - time.monotonic()))
            body = {"type": "bench_noop", "payload": {}}
            one = asyncio.create_task(self._http.post("/gateway/v1/tasks", json=body))
            sent.add(one)
            one.add_done_callback(note)
            number += 1
        await meanwhile
        share, taken = busy.share(), time.monotonic() - began
        ours = (await self._used() - used) / taken / (os.cpu_count() or 1)
        await asyncio.gather(*sent, return_exceptions=True)
        async with asyncio.timeout(120):
            while await self._db.fetchval(SQL.unfinished, since):
                await asyncio.sleep(0.1)
        waits = [row["seconds"] for row in await self._db.fetch(SQL.waits, since)]
        return {"waits": waits, **percentiles(waits), "refused": refused, "busy": share, "others": share - ours}

    async def _used(self) -> float:
        """Seconds of processor time, also of PostgreSQL's processes that have ended since (vacuum)."""
        roots = [status.pid for status in await self._stack.status() if status.pid]
        ended = [psutil.Process(pid).cpu_times() for pid in roots]
        own = cpu_of({os.getpid()} | {pid for root in roots for pid in tree(root)})
        return own + sum(times.children_user + times.children_system for times in ended)


def _all(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """All turns of one kind together."""
    shares = {name: round(sum(turn[name] for turn in turns) / len(turns), 2) for name in ("busy", "others")}
    waits = percentiles([wait for turn in turns for wait in turn["waits"]])
    load = {"load": round(os.getloadavg()[0], 1)}
    return waits | {"refused": sum(turn["refused"] for turn in turns)} | shares | load


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
