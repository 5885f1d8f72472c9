"""Contract §4: every endpoint that creates tasks, its answer and the payload of §5 that it leaves."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gateway.db import Database
from gateway.status.payload import WIRE_KEYS

EPISODES = "/api/v1/episodes/"
MEMORIES = "/api/v1/memories/"
REBUILD = "/api/v1/communities/rebuild"
REFRESH = "/api/v1/maintenance/refresh/incremental"
DEDUPLICATE = "/api/v1/maintenance/deduplicate"
OPTIMIZE = "/api/v1/maintenance/optimize"

WIRE = set(WIRE_KEYS)


async def count(database: Database, table: str = "task_logs") -> int:
    number: int = await database.fetchval(f"SELECT count(*) FROM {table}")
    return number


# Episodes -------------------------------------------------------------------------------------------------------


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
        "group_id": "neo4j",
        "entity_type": "episode",
        "entity_id": body["id"],
        "tenant_id": "t-ann",
    }
    payload = task["payload"]
    assert payload["timestamp"] == pytest.approx(datetime.now(UTC).timestamp(), abs=60)
    assert (payload["task_type"], payload["task_id"]) == ("add_episode", body["task_id"])
    assert {name: payload[name] for name in payload.keys() - WIRE} == {
        "group_id": "neo4j",
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
    client: httpx.AsyncClient, database: Database, named: dict[str, str]
) -> None:
    answer = await client.post(EPISODES, json={"content": "x", **named})
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith("You do not have access to this")
    assert await count(database) == 0


async def test_a_body_without_content_type_is_json(client: httpx.AsyncClient) -> None:
    assert (await client.post(EPISODES, content=b'{"content": "x"}')).status_code == 202


async def test_without_the_last_slash(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/episodes?background=true", json={"content": "x"})
    assert answer.status_code == 307
    assert answer.headers["Location"] == "http://gateway/api/v1/episodes/?background=true"


# Memories -------------------------------------------------------------------------------------------------------


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


async def test_who_may_create_memories(client: httpx.AsyncClient, people: Any, database: Database) -> None:
    async def create(key: str) -> tuple[int, str | None]:
        memory = {"project_id": "p-ann", "title": "t", "content": "c"}
        answer = await client.post(MEMORIES, json=memory, headers={"Authorization": key})
        return answer.status_code, answer.json().get("detail")

    stranger, viewer, member = [await people.add_user(name) for name in ("stranger", "viewer", "member")]
    await people.add_project_member("viewer", "p-ann", "viewer")
    await people.add_member("member", "t-ann")
    assert await create(stranger) == (403, "You do not have access to this project")
    assert await create(viewer) == (403, "Viewers cannot create memories")
    assert await count(database, "memories") == 0
    assert await create(member) == (201, None)
    assert await count(database, "memories") == await count(database) == 1


async def test_a_memory_without_a_project(client: httpx.AsyncClient) -> None:
    answer = await client.post(MEMORIES, json={"project_id": "", "title": "t", "content": "c"})
    assert answer.status_code == 403


# Communities ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("query", "group"), [("", "global"), ("&project_id=p-ann", "p-ann")])
async def test_rebuild_in_background(client: httpx.AsyncClient, task_of: Any, query: str, group: str) -> None:
    answer = await client.post(f"{REBUILD}?background=true{query}")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "submitted"
    assert body["task_url"] == f"/api/v1/tasks/{body['task_id']}"
    task = await task_of(body["task_id"])
    assert (task["task_type"], task["group_id"], task["entity_type"]) == ("rebuild_communities", group, "group")
    assert {name: value for name, value in task["payload"].items() if name not in WIRE} == {"task_group_id": group}


async def end(database: Database, status: str, error: str | None = None) -> None:
    """Let the one task that there is end, as a legacy worker would, as soon as it is there."""
    async with asyncio.timeout(10):
        while await count(database) == 0:
            await asyncio.sleep(0)
    await database.execute(
        "UPDATE task_logs SET status = $1, error_message = $2, started_at = now(), completed_at = now()", status, error
    )


async def test_rebuild_waits_for_its_end(client: httpx.AsyncClient, database: Database) -> None:
    answer, _ = await asyncio.gather(client.post(REBUILD), end(database, "COMPLETED"))
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "success", "message": "Communities rebuilt successfully"},
    )


async def test_a_rebuild_that_fails(client: httpx.AsyncClient, database: Database) -> None:
    answer, _ = await asyncio.gather(client.post(REBUILD), end(database, "FAILED", "no graph"))
    assert answer.status_code == 502
    assert answer.json()["detail"] == "Failed to rebuild communities: no graph"


async def test_a_rebuild_that_takes_too_long(serve: Any, key: str, task_of: Any) -> None:
    async with serve(communities_wait_seconds=0.05) as (client, _):
        answer = await client.post(REBUILD, headers={"Authorization": key})
    assert answer.status_code == 504
    assert (await task_of(answer.json()["task_id"]))["state"] == "waiting"


async def test_a_repeated_rebuild_waits_for_the_same_task(client: httpx.AsyncClient, database: Database) -> None:
    headers = {"Idempotency-Key": "k"}
    first, _ = await asyncio.gather(client.post(REBUILD, headers=headers), end(database, "COMPLETED"))
    again = await client.post(REBUILD, headers=headers)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await count(database) == 1


# Maintenance ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "query", "entity_id", "to_process"),
    [
        (None, "", "neo4j:recent", "recent episodes"),
        ({}, "?project_id=p-ann", "p-ann:recent", "recent episodes"),
        ({"episode_uuids": ["a", "b"], "rebuild_communities": True}, "", "neo4j:2", 2),
        ({"episode_uuids": []}, "", "neo4j:recent", "recent episodes"),
    ],
)
async def test_refresh(
    client: httpx.AsyncClient, task_of: Any, body: Any, query: str, entity_id: str, to_process: Any
) -> None:
    answer = await client.post(REFRESH + query, json=body) if body is not None else await client.post(REFRESH + query)
    assert answer.status_code == 200
    task_id = answer.json()["task_id"]
    assert answer.json() == {
        "status": "success",
        "message": "Incremental refresh task queued",
        "task_id": task_id,
        "episodes_to_process": to_process,
    }
    task, group = await task_of(task_id), entity_id.partition(":")[0]
    assert (task["task_type"], task["entity_type"], task["entity_id"]) == ("incremental_refresh", "refresh", entity_id)
    assert task["tenant_id"] == "t-ann"
    assert {name: task["payload"][name] for name in task["payload"].keys() - WIRE} == {
        "group_id": group,
        "episode_uuids": (body or {}).get("episode_uuids") or None,
        "rebuild_communities": (body or {}).get("rebuild_communities", False),
        "tenant_id": "t-ann",
        "project_id": None if group == "neo4j" else group,
        "user_id": "ann",
    }


async def test_deduplicate(client: httpx.AsyncClient, task_of: Any) -> None:
    answer = await client.post(DEDUPLICATE, json={"dry_run": False, "similarity_threshold": 0.8})
    assert answer.status_code == 200
    task_id = answer.json()["task_id"]
    assert answer.json() == {
        "status": "success",
        "message": "Deduplication task queued",
        "task_id": task_id,
        "dry_run": False,
    }
    task = await task_of(task_id)
    assert (task["task_type"], task["entity_type"], task["entity_id"]) == (
        "deduplicate_entities",
        "deduplication",
        "neo4j",
    )
    assert {name: task["payload"][name] for name in task["payload"].keys() - WIRE} == {
        "group_id": "neo4j",
        "similarity_threshold": 0.8,
        "dry_run": False,
        "project_id": None,
    }


@pytest.mark.parametrize("url", [DEDUPLICATE, OPTIMIZE])
async def test_a_dry_run_without_a_graph(serve: Any, key: str, database: Database, url: str) -> None:
    async with serve(graph_url=None) as (client, _):
        answer = await client.post(url, headers={"Authorization": key})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "graph" in answer.json()["detail"]
    assert await count(database) == 0


async def test_a_dry_run_with_a_graph_that_is_away(serve: Any, key: str) -> None:
    async with serve(graph_url="bolt://127.0.0.1:1") as (client, _):
        answer = await client.post(DEDUPLICATE, headers={"Authorization": key})
    assert answer.status_code == 503


@pytest.mark.parametrize("threshold", [-0.1, 1.1, "much"])
async def test_a_threshold_out_of_range(client: httpx.AsyncClient, threshold: Any) -> None:
    answer = await client.post(DEDUPLICATE, json={"similarity_threshold": threshold})
    assert answer.status_code == 422


async def test_optimize(client: httpx.AsyncClient, database: Database, task_of: Any) -> None:
    operations = ["rebuild_communities", "deduplicate", "unheard_of", "incremental_refresh"]
    answer = await client.post(OPTIMIZE, json={"operations": operations, "dry_run": False})
    body = answer.json()
    assert (answer.status_code, body["dry_run"]) == (200, False)
    assert datetime.fromisoformat(body["timestamp"]) <= datetime.now(UTC)
    assert [run["operation"] for run in body["operations_run"]] == [
        "rebuild_communities",
        "deduplicate",
        "incremental_refresh",
    ]
    types = [(await task_of(run["result"]["task_id"]))["task_type"] for run in body["operations_run"]]
    assert types == ["rebuild_communities", "deduplicate_entities", "incremental_refresh"]
    assert {run["result"]["status"] for run in body["operations_run"]} == {"success"}
    assert await count(database) == 3


async def test_too_many_operations(client: httpx.AsyncClient) -> None:
    assert (await client.post(OPTIMIZE, json={"operations": ["deduplicate"] * 101})).status_code == 422


async def test_a_dry_optimization_creates_nothing(client: httpx.AsyncClient, database: Database) -> None:
    answer = await client.post(OPTIMIZE, json={"operations": ["incremental_refresh", "rebuild_communities"]})
    assert answer.status_code == 200
    assert [run["result"]["dry_run"] for run in answer.json()["operations_run"]] == [True, True]
    assert await count(database) == 0


# Idempotency ----------------------------------------------------------------------------------------------------


async def test_a_repeated_request_gets_the_first_answer(client: httpx.AsyncClient, database: Database) -> None:
    requests = [
        (EPISODES, {"content": "x"}),
        (MEMORIES, {"project_id": "p-ann", "title": "t", "content": "c"}),
        (f"{REBUILD}?background=true", None),
        (REFRESH, None),
        (DEDUPLICATE, {"dry_run": False}),
        (OPTIMIZE, {"dry_run": False}),
        ("/gateway/v1/tasks", {"type": "probe"}),
    ]
    for url, body in requests:
        before, headers = await count(database), {"Idempotency-Key": str(uuid.uuid4())}
        first = await client.post(url, json=body, headers=headers)
        created = await count(database)
        assert first.status_code < 300
        assert created > before
        assert "Idempotency-Replayed" not in first.headers
        again = await client.post(url, json=body, headers=headers)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.headers["Content-Type"] == first.headers["Content-Type"]
        assert await count(database) == created
    assert await count(database, "memories") == 1


async def test_a_key_that_is_used_for_something_else(
    client: httpx.AsyncClient, database: Database, people: Any
) -> None:
    headers = {"Idempotency-Key": "k"}
    await client.post(EPISODES, json={"content": "x"}, headers=headers)
    for url, body in [(EPISODES, {"content": "y"}), (f"{EPISODES}?background=true", {"content": "x"}), (REFRESH, {})]:
        answer = await client.post(url, json=body, headers=headers)
        assert answer.status_code == 422
        assert isinstance(answer.json()["detail"], str)
    assert await count(database) == 1
    another = {"Authorization": await people.add_user("carl"), **headers}
    assert (await client.post(EPISODES, json={"content": "y"}, headers=another)).status_code == 202


@pytest.mark.parametrize("value", [b"", b"k" * 256, b"\xe9", b"a\tb"])
async def test_a_key_out_of_form(client: httpx.AsyncClient, database: Database, value: bytes) -> None:
    answer = await client.post(EPISODES, json={"content": "x"}, headers={b"Idempotency-Key": value})
    assert answer.status_code == 422
    assert await count(database) == 0
