"""`GET /gateway/v1/tasks`: filters, pages, and nothing of other tenants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.storage.database import Database

URL = "/gateway/v1/tasks"


@pytest.fixture
async def tasks(client: httpx.AsyncClient, database: Database, people: Any) -> dict[str, str]:
    """Tasks by name: three of ann's tenant, one of bob's."""
    ids: dict[str, str] = {}
    bodies = {
        "old": {"type": "probe", "project_id": "p-ann", "labels": {"run": "1", "team": "a"}, "unique_key": "u"},
        "failed": {"type": "probe", "priority": 1, "labels": {"run": "1"}},
        "other": {"type": "other", "delay_seconds": 60},
    }
    for name, body in bodies.items():
        parent = {"parent_task_id": ids["old"]} if name == "failed" else {}
        ids[name] = (await client.post(URL, json=body | parent)).json()["task_id"]
    bob = {"Authorization": await people.add_key("bob")}
    ids["bob"] = (await client.post(URL, json=bodies["old"] | {"project_id": "p-bob"}, headers=bob)).json()["task_id"]
    await database.execute(
        "UPDATE taskgate.dispatch SET state = 'failed', backend = 'temporal', stage = 'live', worker_id = 'w-1',"
        " finished_at = now(), schedule_id = 's', dag_run_id = 'd', held = 'h' WHERE task_id = $1",
        ids["failed"],
    )
    await database.execute(
        "UPDATE task_logs SET status = 'FAILED', error_message = 'no 100% luck', entity_id = 'e' WHERE id = $1",
        ids["failed"],
    )
    return ids


async def names(client: httpx.AsyncClient, tasks: dict[str, str], query: Any, **options: Any) -> list[str]:
    answer = await client.get(URL, params=query, **options)
    assert answer.status_code == 200, answer.text
    name_of = {task_id: name for name, task_id in tasks.items()}
    return [name_of[task["task_id"]] for task in answer.json()["tasks"]]


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["other", "failed", "old"]),
        ({"state": "failed"}, ["failed"]),
        ({"state": ["failed", "waiting"]}, ["other", "failed", "old"]),
        ({"status": "pending"}, ["other", "old"]),
        ({"status": "pending", "state": "failed"}, []),
        ({"status": "failed", "error": "100% LUCK"}, ["failed"]),
        ({"error": "1_0"}, []),
        ({"error": "luck", "state": "waiting"}, []),
        ({"type": "probe"}, ["failed", "old"]),
        ({"type": ["probe", "other"]}, ["other", "failed", "old"]),
        ({"backend": "temporal"}, ["failed"]),
        ({"stage": "live"}, ["failed"]),
        ({"priority": [1, 2]}, ["failed"]),
        ({"tenant_id": "t-ann"}, ["other", "failed", "old"]),
        ({"project_id": "p-ann"}, ["old"]),
        ({"group_id": "t-ann"}, ["other", "failed"]),
        ({"user_id": "ann", "type": "other"}, ["other"]),
        ({"entity_id": "e"}, ["failed"]),
        ({"unique_key": "u"}, ["old"]),
        ({"schedule_id": "s"}, ["failed"]),
        ({"dag_run_id": "d"}, ["failed"]),
        ({"worker_id": "w-1"}, ["failed"]),
        ({"held": "h"}, ["failed"]),
        ({"label": "run:1"}, ["failed", "old"]),
        ({"label": ["run:1", "team:a"]}, ["old"]),
        ({"label": "run:2"}, []),
        ({"created_after": (NOW - timedelta(hours=1)).isoformat()}, ["other", "failed", "old"]),
        ({"created_before": (NOW - timedelta(hours=1)).isoformat()}, []),
        ({"finished_after": (NOW - timedelta(hours=1)).isoformat()}, ["failed"]),
        ({"finished_before": (NOW - timedelta(hours=1)).isoformat()}, []),
    ],
)
async def test_filters(
    client: httpx.AsyncClient, tasks: dict[str, str], people: Any, query: Any, expected: list[str]
) -> None:
    assert await names(client, tasks, query) == expected
    admin = {"Authorization": await people.add_user("root", admin=True)}
    seen = await names(client, tasks, query, headers=admin)
    assert [name for name in seen if name != "bob"] == expected


async def test_children(client: httpx.AsyncClient, tasks: dict[str, str]) -> None:
    assert await names(client, tasks, {"parent_task_id": tasks["old"]}) == ["failed"]


async def test_pages(client: httpx.AsyncClient, tasks: dict[str, str], people: Any) -> None:
    admin = {"Authorization": await people.add_user("root", admin=True)}
    for headers, expected in (({}, ["other", "failed", "old"]), (admin, ["bob", "other", "failed", "old"])):
        seen, cursor = [], None
        while True:
            query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
            seen += await names(client, tasks, query, headers=headers)
            cursor = (await client.get(URL, params=query, headers=headers)).json()["next_cursor"]
            if cursor is None:
                break
        assert seen == expected


async def test_a_cursor_of_another_list(client: httpx.AsyncClient, tasks: dict[str, str]) -> None:
    cursor = (await client.get(URL, params={"limit": 1})).json()["next_cursor"]
    for query in (
        {"cursor": cursor, "type": "probe"},
        {"cursor": "nonsense"},
        {"cursor": "W10"},
        {"cursor": "x" * 3000},
    ):
        assert (await client.get(URL, params=query)).status_code == 422


async def test_what_a_row_says(client: httpx.AsyncClient, tasks: dict[str, str]) -> None:
    (row,) = (await client.get(URL, params={"state": "failed"})).json()["tasks"]
    view = (await client.get(f"{URL}/{tasks['failed']}")).json()
    assert row == {name: value for name, value in view.items() if name not in ("attempts", "waiting_because")}


@pytest.mark.parametrize(
    "query",
    [
        {"state": "odd"},
        {"status": "Pending"},
        {"priority": 9},
        {"label": "run"},
        {"label": ":x"},
        {"label": ["run:1", "run:2"]},
        {"limit": 0},
        {"limit": 501},
        {"created_after": "yesterday"},
        {"project_id": ""},
        {"colour": "red"},
        {"type": ["t"] * 21},
    ],
)
async def test_out_of_form(client: httpx.AsyncClient, query: Any) -> None:
    assert (await client.get(URL, params=query)).status_code == 422


async def test_foreign_tenants(client: httpx.AsyncClient, tasks: dict[str, str], people: Any) -> None:
    assert (await client.get(URL, params={"tenant_id": "t-bob"})).status_code == 403
    nobody = {"Authorization": await people.add_user("carl")}
    assert await names(client, tasks, {}, headers=nobody) == []
