"""(f) What lists that are followed cost: processor time of gateway and PostgreSQL a task, whole lives on Redis.

Rounds of `LISTS_TASKS` single submissions with nobody, one, and ten who follow the list of all tasks, in turns, each
beginning in turn, `LISTS_ROUNDS` times. What the clients use does not count.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median
from typing import Any

import asyncpg
import httpx

from deploy.local.env import read_env
from deploy.local.stack import EmbeddedStack
from tests.performance.processes import cpu_of, tree
from tests.performance.stack import client, measured_stack
from tests.performance.table import paired_ratio

TASKS = int(os.environ.get("LISTS_TASKS", "400"))
ROUNDS = int(os.environ.get("LISTS_ROUNDS", "9"))
FOLLOWERS = {"nobody": 0, "one": 1, "ten": 10}
COUNTED = ("postgres", "gateway")
AT_ONCE = 16
#: A process that has just begun to listen announces for so long, to be sure (gateway/tasks/changes/arrivals.py).
SURE_SECONDS = 16
UNFINISHED = "SELECT count(*) FROM taskgate.dispatch WHERE phase IN ('waiting', 'open')"


@asynccontextmanager
async def following(stack: EmbeddedStack, number: int) -> AsyncIterator[None]:
    """So many open streams, which are read."""
    variables = read_env(stack.env_file)
    headers = {"Authorization": f"Bearer {variables['TASKGATE_ADMIN_KEY']}"}
    opened = asyncio.Semaphore(0)

    async def follow(http: httpx.AsyncClient) -> None:
        async with http.stream("GET", "/gateway/v1/tasks/stream", headers=headers) as answer:
            answer.raise_for_status()
            opened.release()
            async for _ in answer.aiter_raw():
                pass

    async with httpx.AsyncClient(base_url=variables["TASKGATE_URL"], timeout=60) as http:
        readers = [asyncio.create_task(follow(http)) for _ in range(number)]
        for _ in readers:
            await opened.acquire()
        yield
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def round_of(stack: EmbeddedStack, http: httpx.AsyncClient, database: asyncpg.Connection) -> float:
    """Milliseconds of processor time a task."""
    before = await _used(stack)
    room = asyncio.Semaphore(AT_ONCE)

    async def submit() -> None:
        async with room:
            (await http.post("/gateway/v1/tasks", json={"type": "bench_noop", "payload": {}})).raise_for_status()

    await asyncio.gather(*(submit() for _ in range(TASKS)))
    async with asyncio.timeout(120):
        while await database.fetchval(UNFINISHED):
            await asyncio.sleep(0.05)
    return (await _used(stack) - before) * 1000 / TASKS


async def _used(stack: EmbeddedStack) -> float:
    return sum(cpu_of(tree(status.pid)) for status in await stack.status() if status.pid and status.name in COUNTED)


async def run() -> dict[str, Any]:
    used: dict[str, list[float]] = {name: [] for name in FOLLOWERS}
    async with (
        measured_stack(("postgres", "redis", "temporal", "gateway", "worker-redis")) as stack,
        client(stack, "initech") as http,
    ):
        database = await asyncpg.connect(stack.database_url)
        await round_of(stack, http, database)
        await asyncio.sleep(SURE_SECONDS)
        names = list(FOLLOWERS)
        for number in range(ROUNDS):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                async with following(stack, FOLLOWERS[name]):
                    used[name].append(await round_of(stack, http, database))
        await database.close()
    figures: dict[str, Any] = {name: {"cpu_ms": round(median(used[name]), 3)} for name in used}
    for name in ("one", "ten"):
        figures[name]["ratio"] = paired_ratio(used[name], used["nobody"])
    return {"lists": figures}
