"""Celery on Redis with its prefork pool of 20, late acknowledgement (early ones lose the tasks of a killed worker)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import effects
from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_REDIS"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)


@app.task(name="bench")
def bench(task_id: str, kind: str) -> None:
    effects.run_blocking(task_id, kind)


@asynccontextmanager
async def open_sender() -> AsyncIterator[Callable[[str, str], Awaitable[None]]]:
    async def send(task_id: str, kind: str) -> None:
        bench.delay(task_id, kind)

    yield send
