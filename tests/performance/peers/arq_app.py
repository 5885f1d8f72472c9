"""arq on Redis, as its documentation sets it up: 20 coroutines, the default poll delay of 0.5 s."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import effects
from arq import create_pool
from arq.connections import RedisSettings

SETTINGS = RedisSettings.from_dsn(os.environ["BENCH_REDIS"])


async def bench(context: dict[str, Any], task_id: str, kind: str) -> None:
    await effects.run(task_id, kind)


class WorkerSettings:
    functions = (bench,)
    redis_settings = SETTINGS
    max_jobs = 20


@asynccontextmanager
async def open_sender() -> AsyncIterator[Callable[[str, str], Awaitable[None]]]:
    pool = await create_pool(SETTINGS)

    async def send(task_id: str, kind: str) -> None:
        await pool.enqueue_job("bench", task_id, kind)

    yield send
    await pool.aclose()
