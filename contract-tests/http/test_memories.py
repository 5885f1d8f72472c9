"""Contract §4: `POST /api/v1/memories/`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts.people import Household
from contracts.probes import BOARD
from contracts.shapes import INVALID, TASK, check, equals, iso, uuid
from contracts.world import World

NO_ACCESS = {"detail": "You do not have access to this project"}


def memory_of(home: Household, body: dict[str, Any]) -> dict[str, Any]:
    """The shape of the answer to this body."""
    defaults: dict[str, Any] = {
        "content_type": "text",
        "tags": [],
        "entities": [],
        "relationships": [],
        "collaborators": [],
        "is_public": False,
        "metadata": {},
    }
    echoed = {name: equals(body.get(name, default)) for name, default in defaults.items()}
    return {
        **echoed,
        "id": uuid,
        "project_id": home.project_id,
        "title": body["title"],
        "content": body["content"],
        "version": 1,
        "author_id": home.owner.user_id,
        "status": str,
        "processing_status": "PENDING",
        "created_at": iso,
        "updated_at": (iso, None),
        "task_id": uuid,
    }


async def create(world: World, home: Household, **more: Any) -> dict[str, Any]:
    body = {"project_id": home.project_id, "title": "A meeting", "content": "Ada met Charles.", **more}
    answer = await world.client(home.owner).post("/api/v1/memories/", json=body)
    assert answer.status_code == 201, answer.text
    check(answer.json(), memory_of(home, body))
    return dict(answer.json())


async def test_the_least(world: World, home: Household) -> None:
    memory = await create(world, home)
    await world.flip()
    await world.ended(memory["task_id"])
    answer = await world.client(home.owner).get(f"/api/v1/tasks/{memory['task_id']}")
    expected = {"name": "add_episode", "status": "Completed", "entity_id": memory["id"], "entity_type": "memory"}
    check(answer.json(), {**TASK, **expected})


async def test_everything(world: World, home: Household) -> None:
    await create(
        world,
        home,
        content_type="markdown",
        tags=["a", "é"],
        entities=[{"name": "Ada", "type": "Person"}],
        relationships=[{"source": "Ada", "target": "Charles", "type": "KNOWS"}],
        collaborators=[home.member.user_id],
        is_public=True,
        metadata={"page": 7, "nested": {"list": [1, None]}},
        unknown="ignored",
    )


async def test_its_row(world: World, home: Household) -> None:
    memory = await create(world, home, tags=["a"], metadata={"page": 7})
    row = await world.database.fetchrow("SELECT * FROM memories WHERE id = $1", memory["id"])
    assert row is not None
    stored = {name: json.loads(row[name]) for name in ("tags", "entities", "metadata")}
    assert stored == {"tags": ["a"], "entities": [], "metadata": {"page": 7}}
    for name in ("project_id", "title", "content", "author_id", "version", "status", "task_id"):
        assert row[name] == memory[name]
    assert row["processing_status"] == "PENDING"


async def test_what_the_worker_is_given(world: World, home: Household) -> None:
    memory = await create(world, home)
    await world.flip()
    await world.ended(memory["task_id"])
    given = dict(BOARD.payloads[memory["task_id"]])
    given.pop("timestamp", None)
    assert given == {
        "task_type": "add_episode",
        "task_id": memory["task_id"],
        "group_id": home.project_id,
        "name": "A meeting",
        "content": "Ada met Charles.",
        "source_description": "User input",
        "episode_type": "text",
        "uuid": memory["id"],
        "tenant_id": home.tenant_id,
        "project_id": home.project_id,
        "user_id": home.owner.user_id,
        "memory_id": memory["id"],
    }


async def test_viewers_may_not(world: World, home: Household) -> None:
    body = {"project_id": home.project_id, "title": "t", "content": "c"}
    answer = await world.client(home.viewer).post("/api/v1/memories/", json=body)
    assert (answer.status_code, answer.json()) == (403, {"detail": "Viewers cannot create memories"})
    assert (await world.client(home.guest_member).post("/api/v1/memories/", json=body)).status_code == 201


async def test_strangers_may_not(world: World, home: Household, stranger: Household) -> None:
    count = "SELECT count(*) FROM memories WHERE project_id = $1"
    for project_id in (home.project_id, "no-such-project", ""):
        body = {"project_id": project_id, "title": "t", "content": "c"}
        answer = await world.client(stranger.owner).post("/api/v1/memories/", json=body)
        assert (answer.status_code, answer.json()) == (403, NO_ACCESS)
    assert await world.database.fetchval(count, home.project_id) == 0


@pytest.mark.parametrize("missing", ["project_id", "title", "content"])
async def test_what_must_be_there(world: World, home: Household, missing: str) -> None:
    body = {"project_id": home.project_id, "title": "t", "content": "c"}
    del body[missing]
    answer = await world.client(home.owner).post("/api/v1/memories/", json=body)
    assert answer.status_code == 422
    check(answer.json(), INVALID)
    assert answer.json()["detail"][0]["loc"] == ["body", missing]


@pytest.mark.parametrize(
    "wrong", [{"tags": "a"}, {"tags": [1]}, {"entities": {}}, {"is_public": "perhaps"}, {"metadata": []}, {"title": 1}]
)
async def test_wrong_types(world: World, home: Household, wrong: dict[str, Any]) -> None:
    body = {"project_id": home.project_id, "title": "t", "content": "c", **wrong}
    answer = await world.client(home.owner).post("/api/v1/memories/", json=body)
    assert answer.status_code == 422
    check(answer.json(), INVALID)
