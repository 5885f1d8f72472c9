"""The bare Temporal SDK: standalone activities, 20 at once, with heartbeats as its documentation advises."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import effects
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

QUEUE = "bench-peers-sdk"
SLOTS = int(os.environ.get("BENCH_SLOTS", "20"))
HEARTBEAT = timedelta(seconds=10)


@activity.defn(name="bench")
async def bench(task_id: str, kind: str) -> None:
    beating = asyncio.create_task(beat()) if kind == "once" else None
    try:
        await effects.run(task_id, kind)
    finally:
        if beating is not None:
            beating.cancel()


async def beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(HEARTBEAT.total_seconds() / 3)


async def connect() -> Client:
    return await Client.connect(
        os.environ["TASKGATE_TEMPORAL_ADDRESS"], namespace=os.environ["TASKGATE_TEMPORAL_NAMESPACE"]
    )


@asynccontextmanager
async def open_sender() -> AsyncIterator[Callable[[str, str], Awaitable[None]]]:
    client = await connect()

    async def send(task_id: str, kind: str) -> None:
        await client.start_activity(
            "bench",
            args=[task_id, kind],
            id=task_id,
            task_queue=QUEUE,
            start_to_close_timeout=timedelta(hours=1),
            heartbeat_timeout=HEARTBEAT,
        )

    yield send


async def main() -> None:
    client = await connect()
    with suppress(asyncio.CancelledError):
        async with Worker(client, task_queue=QUEUE, activities=[bench], max_concurrent_activities=SLOTS):
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
