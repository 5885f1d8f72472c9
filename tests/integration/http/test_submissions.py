"""`/gateway/v1/tasks`: any type, later, for a group; and what became of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.db import Database

URL = "/gateway/v1/tasks"


async def test_defaults(client: httpx.AsyncClient, task_of: Any) -> None:
    answer = await client.post(URL, json={"type": "unheard_of", "payload": {"a": [1, "ü"]}})
    assert answer.status_code == 202
    body = answer.json()
    assert set(body) == {"task_id", "status", "created_at", "task_url"}
    assert (body["status"], body["task_url"]) == ("pending", f"/api/v1/tasks/{body['task_id']}")
    task = await task_of(body["task_id"])
    assert (task["task_type"], task["group_id"], task["tenant_id"]) == ("unheard_of", "tenant:t-ann", "t-ann")
    assert (task["priority"], task["not_before"]) == (3, None)
    assert task["payload"]["a"] == [1, "ü"]


async def test_everything_given(client: httpx.AsyncClient, task_of: Any) -> None:
    parent = (await client.post(URL, json={"type": "probe"})).json()["task_id"]
    body = {
        "type": "probe",
        "project_id": "p-ann",
        "tenant_id": "t-ann",
        "group_id": "p-ann",
        "priority": 1,
        "delay_seconds": 90,
        "parent_task_id": parent,
    }
    task = await task_of((await client.post(URL, json=body)).json()["task_id"])
    assert (task["group_id"], task["project_id"], task["priority"]) == ("p-ann", "p-ann", 1)
    assert task["parent_task_id"] == parent
    assert task["not_before"] - datetime.now(UTC) == pytest.approx(timedelta(seconds=90), abs=timedelta(seconds=30))


@pytest.mark.parametrize(
    ("run_at", "is_kept"),
    [("2020-01-01T00:00:00Z", False), ((datetime.now(UTC) + timedelta(days=1)).isoformat(), True)],
)
async def test_run_at(client: httpx.AsyncClient, task_of: Any, run_at: str, is_kept: bool) -> None:
    answer = await client.post(URL, json={"type": "probe", "run_at": run_at})
    task = await task_of(answer.json()["task_id"])
    assert task["not_before"] == (datetime.fromisoformat(run_at) if is_kept else None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "a b"},
        {"type": "x" * 201},
        {"type": None},
        {"priority": 0},
        {"priority": 6},
        {"priority": "high"},
        {"delay_seconds": -1},
        {"delay_seconds": 1e12},
        {"delay_seconds": "inf"},
        {"run_at": "tomorrow"},
        {"run_at": "2026-01-01T00:00:00"},
        {"run_at": "9999-12-31T23:59:59-23:59"},
        {"run_at": 1e300},
        {"run_at": "2026-01-01T00:00:00Z", "delay_seconds": 1},
        {"payload": []},
    ],
)
async def test_out_of_form(client: httpx.AsyncClient, database: Database, wrong: dict[str, Any]) -> None:
    answer = await client.post(URL, json={"type": "probe", **wrong})
    assert answer.status_code == 422
    assert await database.fetchval("SELECT count(*) FROM task_logs") == 0


@pytest.mark.parametrize(
    ("named", "group"),
    [
        ({"group_id": "p-ann"}, "p-ann"),
        ({"group_id": "tenant:t-ann"}, "tenant:t-ann"),
        ({"group_id": "tenant:t-ann", "project_id": "p-ann"}, "tenant:t-ann"),
        ({"group_id": "p-ann", "tenant_id": "t-ann"}, "p-ann"),
        ({"project_id": "p-ann", "group_id": ""}, "p-ann"),
    ],
)
async def test_groups(client: httpx.AsyncClient, task_of: Any, named: dict[str, str], group: str) -> None:
    answer = await client.post(URL, json={"type": "probe", **named})
    assert (await task_of(answer.json()["task_id"]))["group_id"] == group


@pytest.mark.parametrize(
    "named",
    [
        {"group_id": "neo4j"},
        {"group_id": "p-bob"},
        {"group_id": "tenant:t-bob"},
        {"group_id": "tenant:t-bob", "tenant_id": "t-ann"},
        {"group_id": "p-bob", "project_id": "p-ann"},
        {"tenant_id": "t-bob"},
        {"payload": {"group_id": "p-bob"}},
        {"payload": {"task_group_id": "global"}, "project_id": "p-ann"},
        {"payload": {"tenant_id": "t-bob"}},
        {"payload": {"project_id": "p-bob"}},
        {"payload": {"user_id": "bob"}},
        {"payload": {"memory_id": "m"}, "project_id": "p-ann"},
    ],
)
async def test_what_is_not_the_callers(client: httpx.AsyncClient, database: Database, named: dict[str, Any]) -> None:
    answer = await client.post(URL, json={"type": "probe", **named})
    assert answer.status_code == 403
    assert await database.fetchval("SELECT count(*) FROM task_logs") == 0


async def test_a_group_of_another_tenant_than_the_project(client: httpx.AsyncClient, people: Any) -> None:
    await people.add_member("ann", "t-bob")
    answer = await client.post(URL, json={"type": "probe", "project_id": "p-ann", "group_id": "p-bob"})
    assert answer.status_code == 403


async def test_a_foreign_parent(client: httpx.AsyncClient, people: Any) -> None:
    stranger = {"Authorization": await people.add_user("carl")}
    parent = (await client.post(URL, json={"type": "probe"})).json()["task_id"]
    for parent_id, headers in [(parent, stranger), ("unknown", {})]:
        body = {"type": "probe", "parent_task_id": parent_id}
        assert (await client.post(URL, json=body, headers=headers)).status_code == 404


async def test_what_became_of_it(client: httpx.AsyncClient, database: Database, people: Any) -> None:
    task_id = (await client.post(URL, json={"type": "probe", "priority": 2})).json()["task_id"]
    view = (await client.get(f"{URL}/{task_id}")).json()
    assert (view["status"], view["state"], view["backend"], view["attempts"]) == ("pending", "waiting", None, [])
    assert (view["priority"], view["group_id"], view["tenant_id"], view["user_id"]) == (
        2,
        "tenant:t-ann",
        "t-ann",
        "ann",
    )
    assert view["due_at"]
    await database.execute(
        "INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, ended_at, outcome, error)"
        " VALUES ($1, 1, 1, 'redis', 'w1', now(), 'failed', 'boom'), ($1, 2, 2, 'temporal', 'w2', NULL, NULL, NULL)",
        task_id,
    )
    await database.execute(
        "UPDATE taskgate.dispatch SET state = 'running', backend = 'temporal', stage = 'live', epoch = 2, attempt = 2"
    )
    view = (await client.get(f"{URL}/{task_id}")).json()
    assert (view["state"], view["backend"], view["stage"], view["epoch"]) == ("running", "temporal", "live", 2)
    assert [(run["attempt"], run["outcome"], run["error"]) for run in view["attempts"]] == [
        (1, "failed", "boom"),
        (2, None, None),
    ]
    stranger = {"Authorization": await people.add_user("carl")}
    assert (await client.get(f"{URL}/{task_id}", headers=stranger)).status_code == 404
    admin = {"Authorization": await people.add_user("root", admin=True)}
    assert (await client.get(f"{URL}/{task_id}", headers=admin)).status_code == 200
