"""The bare Temporal SDK: standalone activities, 20 at once, with heartbeats as its documentation advises.

`BENCH_SDK=rows` keeps a row of `task_logs` for each task, as the gateway does; `same` also starts them as the gateway
does, with its search attributes, priority and fairness key; `workflows` runs each in a workflow.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import Priority, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    import asyncpg
    import effects

    from backends.temporal import names

QUEUE = "bench-peers-sdk"
SLOTS = int(os.environ.get("BENCH_SLOTS", "20"))
HEARTBEAT = timedelta(seconds=10)
FOREVER = timedelta(hours=1)
KIND = os.environ.get("BENCH_SDK", "")

ADDED = (
    "INSERT INTO task_logs (id, group_id, task_type, status, payload) VALUES ($1, 'bench', 'bench', 'PENDING', '{}')"
)
STARTED = "UPDATE task_logs SET status = 'PROCESSING', started_at = now() WHERE id = $1"
ENDED = "UPDATE task_logs SET status = 'COMPLETED', completed_at = now() WHERE id = $1"

_pools: list[Any] = []


async def write(statement: str, task_id: str) -> None:
    """One of the statements above, where rows are kept."""
    if KIND in ("rows", "same"):
        if not _pools:
            _pools.append(await asyncpg.create_pool(os.environ["BENCH_DATABASE"], min_size=1, max_size=10))
        await _pools[0].execute(statement, task_id)


@activity.defn(name="bench")
async def bench(task_id: str, kind: str) -> None:
    beating = asyncio.create_task(beat()) if kind == "once" else None
    try:
        await write(STARTED, task_id)
        await effects.run(task_id, kind)
        await write(ENDED, task_id)
    finally:
        if beating is not None:
            beating.cancel()


@workflow.defn(name="bench")
class BenchWorkflow:
    """One activity."""

    @workflow.run
    async def run(self, task_id: str, kind: str) -> None:
        await workflow.execute_activity(bench, args=[task_id, kind], start_to_close_timeout=FOREVER)


async def beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(HEARTBEAT.total_seconds() / 3)


async def connect() -> Client:
    namespace = os.environ["TASKGATE_TEMPORAL_NAMESPACE"]
    return await Client.connect(os.environ["TASKGATE_TEMPORAL_ADDRESS"], namespace=namespace)


@asynccontextmanager
async def open_sender() -> AsyncIterator[Callable[[str, str], Awaitable[None]]]:
    client = await connect()

    async def send(task_id: str, kind: str) -> None:
        await write(ADDED, task_id)
        if KIND == "workflows":
            await client.start_workflow("bench", args=[task_id, kind], id=task_id, task_queue=QUEUE)
            return
        await client.start_activity(
            "bench",
            args=[task_id, kind],
            id=task_id,
            task_queue=QUEUE,
            start_to_close_timeout=FOREVER,
            heartbeat_timeout=HEARTBEAT,
            **(as_the_gateway_does(task_id) if KIND == "same" else {}),
        )

    yield send


def as_the_gateway_does(task_id: str) -> dict[str, Any]:
    """What the gateway says of a standard tenant's task beside its payload."""
    keywords = {
        names.TENANT_ATTRIBUTE: "umbrella",
        names.TASK_TYPE_ATTRIBUTE: "bench",
        names.TASK_ID_ATTRIBUTE: task_id,
    }
    pairs: list[Any] = [SearchAttributePair(SearchAttributeKey.for_keyword(name), keywords[name]) for name in keywords]
    pairs.append(SearchAttributePair(SearchAttributeKey.for_int(names.PRIORITY_ATTRIBUTE), 3))
    return {
        "search_attributes": TypedSearchAttributes(pairs),
        "priority": Priority(priority_key=3, fairness_key="umbrella", fairness_weight=1.0),
    }


async def main() -> None:
    client = await connect()
    workflows = [BenchWorkflow] if KIND == "workflows" else []
    with suppress(asyncio.CancelledError):
        async with Worker(
            client, task_queue=QUEUE, activities=[bench], workflows=workflows, max_concurrent_activities=SLOTS
        ):
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
