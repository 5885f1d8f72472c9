"""procrastinate on PostgreSQL with LISTEN/NOTIFY, 20 coroutines.

Jobs of dead workers are retried by a periodic task, as its documentation shows, here every minute where that has ten.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import effects
import procrastinate

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["BENCH_DATABASE"]))


@app.task(name="bench")
async def bench(task_id: str, kind: str) -> None:
    await effects.run(task_id, kind)


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="retry_stalled", pass_context=True)
async def retry_stalled(context: procrastinate.JobContext, timestamp: int) -> None:
    for job in await app.job_manager.get_stalled_jobs():
        await app.job_manager.retry_job(job)


@asynccontextmanager
async def open_sender() -> AsyncIterator[Callable[[str, str], Awaitable[None]]]:
    async def send(task_id: str, kind: str) -> None:
        await bench.defer_async(task_id=task_id, kind=kind)

    async with app.open_async():
        yield send
