"""DBOS on PostgreSQL: workflows from a queue, 20 at once in a worker, default polling."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import effects
from dbos import DBOS, DBOSClient

QUEUE = "bench"


@DBOS.workflow(name="bench")
async def bench(task_id: str, kind: str) -> None:
    await work(task_id, kind)


@DBOS.step()
async def work(task_id: str, kind: str) -> None:
    await effects.run(task_id, kind)


@asynccontextmanager
async def open_sender() -> AsyncIterator[Callable[[str, str], Awaitable[None]]]:
    client = DBOSClient(system_database_url=os.environ["BENCH_DATABASE"])

    async def send(task_id: str, kind: str) -> None:
        await client.enqueue_async({"queue_name": QUEUE, "workflow_name": "bench"}, task_id, kind)

    yield send
    client.destroy()


if __name__ == "__main__":
    DBOS(
        config={
            "name": "bench",
            "system_database_url": os.environ["BENCH_DATABASE"],
            "executor_id": f"executor-{os.getpid()}",
            "application_version": "1",
            "run_admin_server": False,
        }
    )
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=20)
    threading.Event().wait()
