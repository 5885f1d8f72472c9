"""Contract §4: creating episodes, the answer and the payload of §5 that it leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gateway.tasks.payload import WIRE_KEYS

EPISODES = "/api/v1/episodes/"

WIRE = set(WIRE_KEYS)

Count = Callable[..., Awaitable[int]]


@pytest.mark.parametrize(("query", "status"), [("", "processing"), ("?background=true", "queued")])
async def test_episode(client: httpx.AsyncClient, task_of: Any, query: str, status: str) -> None:
    content = "Alice met Bob in Paris. " * 4
    answer = await client.post(EPISODES + query, json={"content": content, "source_type": "x", "group_id": "other"})
    assert answer.status_code == 202
    body = answer.json()
    assert set(body) == {"id", "name", "content", "status", "created_at", "message", "task_id"}
    assert (body["name"], body["content"], body["status"]) == (content[:50] + "...", content, status)
    assert datetime.fromisoformat(body["created_at"]) <= datetime.now(UTC)
    task = await task_of(body["task_id"])
    assert {name: task[name] for name in ("task_type", "group_id", "entity_type", "entity_id", "tenant_id")} == {
        "task_type": "add_episode",
        "group_id": "t-ann",
        "entity_type": "episode",
        "entity_id": body["id"],
        "tenant_id": "t-ann",
    }
    payload = task["payload"]
    assert payload["timestamp"] == pytest.approx(datetime.now(UTC).timestamp(), abs=60)
    assert (payload["task_type"], payload["task_id"]) == ("add_episode", body["task_id"])
    assert {name: payload[name] for name in payload.keys() - WIRE} == {
        "group_id": "t-ann",
        "name": body["name"],
        "content": content,
        "source_description": "text",
        "episode_type": "text",
        "uuid": body["id"],
        "tenant_id": "t-ann",
        "project_id": None,
        "user_id": "ann",
        "memory_id": None,
    }


async def test_episode_in_a_project(client: httpx.AsyncClient, task_of: Any) -> None:
    episode = {
        "name": "Note",
        "content": "x",
        "source_description": "mail",
        "episode_type": "message",
        "metadata": {"a": [1, None, {"b": 1.5}]},
        "project_id": "p-ann",
        "tenant_id": "t-ann",
        "user_id": "somebody",
    }
    body = (await client.post(EPISODES, json=episode)).json()
    assert body["name"] == "Note"
    task = await task_of(body["task_id"])
    assert (task["group_id"], task["tenant_id"], task["project_id"], task["user_id"]) == (
        "p-ann",
        "t-ann",
        "p-ann",
        "ann",
    )
    assert task["payload"]["user_id"] == "somebody"
    assert {task["payload"][name] for name in ("source_description", "episode_type")} == {"mail", "message"}


@pytest.mark.parametrize("named", [{"project_id": "p-bob"}, {"tenant_id": "t-bob"}, {"project_id": "p-no"}])
async def test_nothing_is_created_where_the_caller_does_not_belong(
    client: httpx.AsyncClient, count: Count, named: dict[str, str]
) -> None:
    answer = await client.post(EPISODES, json={"content": "x", **named})
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith("You do not have access to this")
    assert await count() == 0


async def test_a_body_without_content_type_is_json(client: httpx.AsyncClient) -> None:
    assert (await client.post(EPISODES, content=b'{"content": "x"}')).status_code == 202


async def test_without_the_last_slash(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/episodes?background=true", json={"content": "x"})
    assert answer.status_code == 307
    assert answer.headers["Location"] == "/api/v1/episodes/?background=true"
