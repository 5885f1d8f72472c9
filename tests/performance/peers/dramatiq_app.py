"""Dramatiq on Redis: one process of 20 threads."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import dramatiq
import effects
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_REDIS"]))


@dramatiq.actor(time_limit=24 * 3600 * 1000)
def bench(task_id: str, kind: str) -> None:
    effects.run_blocking(task_id, kind)


@asynccontextmanager
async def open_sender() -> AsyncIterator[Callable[[str, str], Awaitable[None]]]:
    async def send(task_id: str, kind: str) -> None:
        bench.send(task_id, kind)

    yield send
