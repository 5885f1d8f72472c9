"""taskiq on a Redis stream, its broker with acknowledgements; 20 tasks at once."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import effects
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(os.environ["BENCH_REDIS"], consumer_id="0")


@broker.task
async def bench(task_id: str, kind: str) -> None:
    await effects.run(task_id, kind)


@asynccontextmanager
async def open_sender() -> AsyncIterator[Callable[[str, str], Awaitable[None]]]:
    await broker.startup()

    async def send(task_id: str, kind: str) -> None:
        await bench.kiq(task_id, kind)

    yield send
    await broker.shutdown()
