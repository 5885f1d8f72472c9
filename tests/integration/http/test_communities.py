"""Contract §4: rebuilding communities, in the background or until its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from backends.redis_queue.wire import WIRE_KEYS
from gateway.storage.database import Database
from workers.testing.waiting import eventually

REBUILD = "/api/v1/communities/rebuild"

WIRE = set(WIRE_KEYS)

Count = Callable[..., Awaitable[int]]
End = Callable[..., Awaitable[None]]


@pytest.mark.parametrize(("query", "group"), [("", "t-ann"), ("&project_id=p-ann", "p-ann")])
async def test_rebuild_in_background(client: httpx.AsyncClient, task_of: Any, query: str, group: str) -> None:
    answer = await client.post(f"{REBUILD}?background=true{query}")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "submitted"
    assert body["task_url"] == f"/api/v1/tasks/{body['task_id']}"
    task = await task_of(body["task_id"])
    assert (task["task_type"], task["group_id"], task["entity_type"]) == ("rebuild_communities", group, "group")
    assert {name: value for name, value in task["payload"].items() if name not in WIRE} == {
        "task_group_id": group,
        **({"group_ids": ["t-ann", "p-ann"]} if group == "t-ann" else {}),
    }


@pytest.fixture
def end(database: Database, count: Count) -> End:
    """Lets the one task that there is end, as a legacy worker would, as soon as it is there."""

    async def update(status: str, error: str | None = None) -> None:
        await eventually(count, lambda found: found != 0, pause=0)
        await database.execute(
            "UPDATE task_logs SET status = $1, error_message = $2, started_at = now(), completed_at = now()",
            status,
            error,
        )

    return update


async def test_rebuild_waits_for_its_end(client: httpx.AsyncClient, end: End) -> None:
    answer, _ = await asyncio.gather(client.post(REBUILD), end("COMPLETED"))
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "success", "message": "Communities rebuilt successfully"},
    )


async def test_a_rebuild_that_fails(client: httpx.AsyncClient, end: End) -> None:
    answer, _ = await asyncio.gather(client.post(REBUILD), end("FAILED", "no graph"))
    assert answer.status_code == 502
    assert answer.json()["detail"] == "Failed to rebuild communities: no graph"


async def test_a_rebuild_that_takes_too_long(serve: Any, key: str, task_of: Any) -> None:
    async with serve(communities_wait_seconds=0.05) as (client, _):
        answer = await client.post(REBUILD, headers={"Authorization": key})
    assert answer.status_code == 504
    assert (await task_of(answer.json()["task_id"]))["state"] == "waiting"


async def test_a_repeated_rebuild_waits_for_the_same_task(client: httpx.AsyncClient, end: End, count: Count) -> None:
    headers = {"Idempotency-Key": "k"}
    first, _ = await asyncio.gather(client.post(REBUILD, headers=headers), end("COMPLETED"))
    again = await client.post(REBUILD, headers=headers)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await count() == 1
