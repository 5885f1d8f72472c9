"""Rows that the legacy system wrote before the gateway came (contract §4, last paragraph)."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from contracts.people import Household
from contracts.probes import BOARD
from contracts.shapes import LISTED_TASK, TASK, check
from contracts.world import PATIENCE, World


async def insert(world: World, payload: Any, group_id: str | None = None, **columns: Any) -> str:
    """`payload` is a JSON value, or the text of one; None: no payload."""
    task_id = f"legacy-{secrets.token_hex(6)}"
    text = payload if isinstance(payload, str | None) else json.dumps(payload)
    values = {"status": "FAILED", "task_type": "add_episode", "error_message": "old", **columns}
    names = "".join(f", {name}" for name in values)
    places = "".join(f", ${number}" for number in range(4, len(values) + 4))
    await world.database.execute(
        f"INSERT INTO task_logs (id, group_id, payload{names}) VALUES ($1, $2, $3::json{places})",
        task_id,
        group_id,
        text,
        *values.values(),
    )
    return task_id


async def is_seen(world: World, person: Any, task_id: str) -> bool:
    """Alike by the task's id, in both lists, and in the counts."""
    client = world.client(person)
    one = await client.get(f"/api/v1/tasks/{task_id}")
    assert one.status_code in (200, 404)
    listed = {task["id"] for task in (await client.get("/api/v1/tasks/recent?limit=1000")).json()}
    searched = {task["id"] for task in (await client.get(f"/api/v1/tasks/recent?search={task_id}")).json()}
    all_tasks = {task["task_id"] for task in (await client.get("/api/v1/tasks/?limit=200")).json()["tasks"]}
    views = {one.status_code == 200, task_id in listed, task_id in searched, task_id in all_tasks}
    assert len(views) == 1, "the views of one task differ"
    return views.pop()


@pytest.mark.parametrize("place", ["tenant", "project", "group"])
async def test_a_row_belongs_to_what_it_names(world: World, home: Household, stranger: Household, place: str) -> None:
    payload, group = {"content": "x"}, "neo4j"
    if place == "tenant":
        payload["tenant_id"] = home.tenant_id
        payload["project_id"], group = stranger.project_id, stranger.project_id  # the tenant comes first
    elif place == "project":
        payload["project_id"], group = home.project_id, stranger.project_id  # the project before the group
    else:
        group = home.project_id
    task_id = await insert(world, payload, group)
    await world.flip()
    assert await is_seen(world, home.owner, task_id)
    assert not await is_seen(world, stranger.owner, task_id)
    assert await is_seen(world, world.admin, task_id)


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "null",
        "[]",
        "7",
        '"text"',
        {},
        {"tenant_id": None},
        {"tenant_id": ""},
        {"tenant_id": 7},
        {"project_id": {"id": 1}},
        '{"tenant_id": "\\u0000"}',
        '{"tenant_id": "\\ud800"}',
        '{"a": {"tenant_id": "x"}}',
    ],
    ids=str,
)
async def test_a_row_that_names_nobody_is_for_administrators(world: World, home: Household, payload: Any) -> None:
    task_id = await insert(world, payload, "neo4j")
    assert not await is_seen(world, home.owner, task_id)
    assert await is_seen(world, world.admin, task_id)


async def test_empty_names_count_as_none(world: World, home: Household) -> None:
    task_id = await insert(world, {"tenant_id": "", "project_id": None}, home.project_id)
    assert await is_seen(world, home.owner, task_id)


async def test_a_row_with_nothing_in_it(world: World) -> None:
    nulls = dict.fromkeys(("status", "task_type", "error_message", "created_at", "retry_count", "progress"))
    task_id = await insert(world, None, None, **nulls)
    client = world.client(world.admin)
    expected = {"name": "", "status": "Pending", "created_at": None, "retries": 0, "progress": 0}
    check((await client.get(f"/api/v1/tasks/{task_id}")).json(), {**TASK, **expected})
    check((await client.get(f"/api/v1/tasks/recent?search={task_id}")).json(), [TASK])
    check((await client.get("/api/v1/tasks/?limit=200")).json()["tasks"], [LISTED_TASK])
    await world.database.execute("DELETE FROM task_logs WHERE id = $1", task_id)


@pytest.mark.parametrize("result", ["[1]", "7", '"text"', "null", '\n{\n"a"\r\n: 1}', '{"big": 123456789012345678901}'])
async def test_a_result_is_an_object_or_null(world: World, home: Household, result: str) -> None:
    task_id = await insert(world, {"tenant_id": home.tenant_id}, status="COMPLETED")
    await world.database.execute("UPDATE task_logs SET result = $2::json WHERE id = $1", task_id, result)
    task = (await world.client(home.owner).get(f"/api/v1/tasks/{task_id}")).json()
    wanted = json.loads(result)
    assert task["result"] == (wanted if isinstance(wanted, dict) else None)
    async with world.stream(task_id, home.owner) as events:
        assert (await anext(events)).data["result"] == task["result"]


@pytest.mark.parametrize("status", ["FAILED", "STOPPED"])
async def test_it_can_be_retried(world: World, home: Household, status: str) -> None:
    payload = {"content": "report", "group_id": home.project_id, "tenant_id": home.tenant_id, "name": "n"}
    task_id = await insert(world, payload, home.project_id, status=status)
    await world.flip()
    assert (await world.client(home.owner).post(f"/api/v1/tasks/{task_id}/retry")).status_code == 200
    row = await world.ended(task_id)
    assert (row["status"], row["retry_count"], row["error_message"]) == ("COMPLETED", 1, None)
    assert BOARD.runs[task_id] == 1
    assert BOARD.payloads[task_id]["content"] == "report"


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING"])
async def test_it_can_be_stopped(world: World, home: Household, status: str) -> None:
    task_id = await insert(world, {"tenant_id": home.tenant_id}, home.project_id, status=status, worker_id="legacy-1")
    await world.flip()
    assert (await world.client(home.owner).post(f"/api/v1/tasks/{task_id}/stop")).status_code == 200
    row = await world.row(task_id)
    assert (row["status"], row["error_message"]) == ("FAILED", "Task stopped by user")
    assert row["stopped_at"] is not None
    assert row["completed_at"] is not None


@pytest.mark.parametrize(
    "payload",
    [
        '{"content": "\\ud800 half a pair"}',
        '{"content": "a\\u0000b"}',
        '{"content": "x", "big": 123456789012345678901234567890, "large": 1e400}',
        '{"content": "x", "deep": ' + "[" * 1500 + "]" * 1500 + "}",
        "null",
        "[1]",
        None,
    ],
    ids=["surrogate", "NUL", "numbers", "deep", "null", "array", "none"],
)
async def test_whatever_its_payload_is_it_can_be_steered(world: World, home: Household, payload: str | None) -> None:
    task_id = await insert(world, payload, home.project_id)
    client = world.client(home.owner)
    assert (await client.get(f"/api/v1/tasks/{task_id}")).status_code == 200
    assert (await client.post(f"/api/v1/tasks/{task_id}/retry")).status_code == 200
    await world.flip()
    row = await world.gateway.feed.wait_terminal(task_id, PATIENCE)
    assert row.status in ("COMPLETED", "FAILED")
    task_id = await insert(world, payload, home.project_id, status="PENDING", error_message=None)
    assert (await client.post(f"/api/v1/tasks/{task_id}/stop")).status_code == 200
