"""Contract §4: `POST /api/v1/episodes/`."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.people import Household, Person
from contracts.probes import BOARD
from contracts.shapes import INVALID, TASK, check, iso, uuid
from contracts.world import World

EPISODE = {
    "id": uuid,
    "name": str,
    "content": str,
    "status": str,
    "created_at": iso,
    "message": str,
    "task_id": uuid,
}


async def create(world: World, person: Person, body: dict[str, Any], query: str = "") -> dict[str, Any]:
    answer = await world.client(person).post(f"/api/v1/episodes/{query}", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    check(answer.json(), EPISODE)
    return dict(answer.json())


async def test_as_the_sdk_sends_it(world: World, home: Household) -> None:
    body = {
        "name": "Meeting",
        "content": "Ada met Charles at the Royal Society.",
        "source_description": "minutes",
        "source_type": "text",
        "group_id": "whatever",
        "project_id": home.project_id,
        "tenant_id": home.tenant_id,
        "metadata": {"page": 7},
    }
    episode = await create(world, home.owner, body, "?background=true")
    assert (episode["name"], episode["content"], episode["status"]) == ("Meeting", body["content"], "queued")
    await world.flip()
    await world.ended(episode["task_id"])
    answer = await world.client(home.owner).get(f"/api/v1/tasks/{episode['task_id']}")
    expected = {"name": "add_episode", "status": "Completed", "entity_id": episode["id"], "entity_type": "episode"}
    check(answer.json(), {**TASK, **expected})


async def test_what_the_worker_is_given(world: World, home: Household) -> None:
    """Contract §5: these keys, whatever the backend."""
    body = {"content": "Ada met Charles.", "project_id": home.project_id, "source_description": "minutes"}
    episode = await create(world, home.owner, body)
    await world.flip()
    row = await world.ended(episode["task_id"])
    expected = {
        "task_type": "add_episode",
        "task_id": episode["task_id"],
        "group_id": home.project_id,
        "name": "Ada met Charles....",
        "content": "Ada met Charles.",
        "source_description": "minutes",
        "episode_type": "text",
        "uuid": episode["id"],
        "tenant_id": home.tenant_id,
        "project_id": home.project_id,
        "user_id": home.owner.user_id,
        "memory_id": None,
    }
    given = dict(BOARD.payloads[episode["task_id"]])
    given.pop("timestamp", None)
    assert given == expected
    stored = row["payload"]
    assert isinstance(stored.pop("timestamp"), float)
    assert stored == expected
    assert row["group_id"] == home.project_id


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", "processing"),
        ("?background=false", "processing"),
        ("?background=0", "processing"),
        ("?background=true", "queued"),
        ("?background=True", "queued"),
        ("?background=1", "queued"),
    ],
)
async def test_background_changes_the_word(world: World, home: Household, query: str, status: str) -> None:
    episode = await create(world, home.owner, {"content": "x", "project_id": home.project_id}, query)
    assert episode["status"] == status
    await world.flip()
    await world.ended(episode["task_id"])


@pytest.mark.parametrize(
    ("content", "name"),
    [("short", "short..."), ("x" * 50, "x" * 50 + "..."), ("é" * 70, "é" * 50 + "..."), ("", "...")],
)
async def test_the_name_defaults_to_the_beginning(world: World, home: Household, content: str, name: str) -> None:
    for body in ({}, {"name": None}):
        episode = await create(world, home.owner, {"content": content, "project_id": home.project_id, **body})
        assert (episode["name"], episode["content"]) == (name, content)


async def test_defaults_and_nulls(world: World, home: Household) -> None:
    body = {"content": "x", "project_id": home.project_id}
    nulls = dict.fromkeys(("name", "source_description", "episode_type", "metadata", "tenant_id", "user_id"))
    for sent in (body, {**body, **nulls}):
        episode = await create(world, home.owner, sent)
        payload = (await world.row(episode["task_id"]))["payload"]
        assert (payload["source_description"], payload["episode_type"]) == ("text", "text")
        assert payload["user_id"] == home.owner.user_id


async def test_without_a_project(world: World, home: Household) -> None:
    """The group is the tenant's own (quirk G1), the tenant the caller's."""
    for body in ({}, {"project_id": None}, {"tenant_id": home.tenant_id}):
        episode = await create(world, home.owner, {"content": "x", **body})
        assert (await world.row(episode["task_id"]))["group_id"] == home.tenant_id
        dispatch = await world.dispatch(episode["task_id"])
        assert (dispatch["tenant_id"], dispatch["project_id"]) == (home.tenant_id, None)


async def test_each_episode_has_ids_of_its_own(world: World, home: Household) -> None:
    body = {"content": "x", "project_id": home.project_id}
    episodes = [await create(world, home.owner, body) for _ in range(2)]
    assert len({episode[name] for episode in episodes for name in ("id", "task_id")}) == 4


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "no content"},
        {"content": None},
        {"content": 7},
        {"content": ["x"]},
        {"content": "x", "name": {"a": 1}},
        {"content": "x", "metadata": "text"},
        {"content": "x", "project_id": 7},
    ],
)
async def test_what_is_not_an_episode(world: World, home: Household, body: dict[str, Any]) -> None:
    answer = await world.client(home.owner).post("/api/v1/episodes/", json=body)
    assert answer.status_code == 422
    check(answer.json(), INVALID)


async def test_the_last_slash_may_be_missing(world: World, home: Household) -> None:
    body = {"content": "x", "project_id": home.project_id}
    answer = await world.client(home.owner).post("/api/v1/episodes?background=true", json=body, follow_redirects=True)
    assert answer.status_code == 202
    check(answer.json(), {**EPISODE, "status": "queued"})


async def test_a_failing_episode(world: World, home: Household) -> None:
    episode = await create(world, home.owner, {"content": "fatal no luck", "project_id": home.project_id})
    await world.flip()
    await world.ended(episode["task_id"])
    answer = await world.client(home.owner).get(f"/api/v1/tasks/{episode['task_id']}")
    check(answer.json(), {**TASK, "status": "Failed", "error": "no luck", "entity_id": episode["id"]})


async def test_a_repetition_without_a_key_is_another_episode(world: World, home: Household) -> None:
    """Existing clients repeat a POST after a time-out, without any key: nothing tells it from a second one."""
    body = {"content": "x", "project_id": home.project_id}
    first, second = await create(world, home.owner, body), await create(world, home.owner, body)
    assert first["task_id"] != second["task_id"]


async def test_a_repetition_with_a_key_is_the_same_episode(world: World, home: Household) -> None:
    body = {"content": "x", "project_id": home.project_id}
    client, headers = world.client(home.owner), {"Idempotency-Key": f"key-{home.name}"}
    first = await client.post("/api/v1/episodes/", json=body, headers=headers)
    await world.flip()
    second = await client.post("/api/v1/episodes/", json=body, headers=headers)
    assert (second.status_code, second.json()) == (202, first.json())
    await world.ended(first.json()["task_id"])
    assert BOARD.runs[first.json()["task_id"]] == 1
    other = await client.post("/api/v1/episodes/", json={**body, "content": "y"}, headers=headers)
    assert other.status_code == 422
