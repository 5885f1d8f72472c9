"""Contract §4: creating memories, the answer, the row, and the payload of §5 that it leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from backends.redis_queue.wire import WIRE_KEYS
from gateway.storage.database import Database

MEMORIES = "/api/v1/memories/"

WIRE = set(WIRE_KEYS)

Count = Callable[..., Awaitable[int]]


async def test_memory(client: httpx.AsyncClient, database: Database, task_of: Any) -> None:
    memory = {
        "project_id": "p-ann",
        "title": "Trip",
        "content": "Alice met Bob.",
        "tags": ["a"],
        "entities": [{"name": "Alice", "type": "Person"}],
        "metadata": {"k": "v"},
    }
    answer = await client.post(MEMORIES, json=memory)
    assert answer.status_code == 201
    body = answer.json()
    assert body.pop("created_at") == body.pop("updated_at")
    memory_id, task_id = body.pop("id"), body.pop("task_id")
    assert body == {
        **memory,
        "content_type": "text",
        "relationships": [],
        "version": 1,
        "author_id": "ann",
        "collaborators": [],
        "is_public": False,
        "status": "ENABLED",
        "processing_status": "PENDING",
    }
    stored = await database.fetchrow("SELECT * FROM memories")
    assert stored is not None
    assert (stored["id"], stored["task_id"], stored["title"], stored["tags"]) == (memory_id, task_id, "Trip", '["a"]')
    task = await task_of(task_id)
    assert (task["entity_type"], task["entity_id"], task["group_id"]) == ("memory", memory_id, "p-ann")
    payload = task["payload"]
    assert {name: payload[name] for name in payload.keys() - WIRE} == {
        "group_id": "p-ann",
        "name": "Trip",
        "content": "Alice met Bob.",
        "source_description": "User input",
        "episode_type": "text",
        "uuid": memory_id,
        "tenant_id": "t-ann",
        "project_id": "p-ann",
        "user_id": "ann",
        "memory_id": memory_id,
    }


async def test_who_may_create_memories(client: httpx.AsyncClient, people: Any, count: Count) -> None:
    async def create(key: str) -> tuple[int, str | None]:
        memory = {"project_id": "p-ann", "title": "t", "content": "c"}
        answer = await client.post(MEMORIES, json=memory, headers={"Authorization": key})
        return answer.status_code, answer.json().get("detail")

    stranger, viewer, member = [await people.add_user(name) for name in ("stranger", "viewer", "member")]
    await people.add_project_member("viewer", "p-ann", "viewer")
    await people.add_member("member", "t-ann")
    assert await create(stranger) == (403, "You do not have access to this project")
    assert await create(viewer) == (403, "Viewers cannot create memories")
    assert await count("memories") == 0
    assert await create(member) == (201, None)
    assert await count("memories") == await count() == 1


async def test_a_memory_without_a_project(client: httpx.AsyncClient) -> None:
    answer = await client.post(MEMORIES, json={"project_id": "", "title": "t", "content": "c"})
    assert answer.status_code == 403
