"""`/gateway/v1/tasks`: any type, later, for a group; and what became of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.storage.database import Database

URL = "/gateway/v1/tasks"


async def test_defaults(client: httpx.AsyncClient, task_of: Any) -> None:
    answer = await client.post(URL, json={"type": "unheard_of", "payload": {"a": [1, "ü"]}})
    assert answer.status_code == 202
    body = answer.json()
    assert set(body) == {"task_id", "status", "created_at", "task_url"}
    assert (body["status"], body["task_url"]) == ("pending", f"/api/v1/tasks/{body['task_id']}")
    task = await task_of(body["task_id"])
    assert (task["task_type"], task["group_id"], task["tenant_id"]) == ("unheard_of", "t-ann", "t-ann")
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
    ids=["past", "tomorrow"],
)
async def test_run_at(client: httpx.AsyncClient, task_of: Any, run_at: str, is_kept: bool) -> None:
    answer = await client.post(URL, json={"type": "probe", "run_at": run_at})
    task = await task_of(answer.json()["task_id"])
    assert task["not_before"] == (datetime.fromisoformat(run_at) if is_kept else None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "a b"},
        {"type": "episode.sync_metadata", "payload": {"episode": {"uuid": "another tenant's"}}},
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
        {"run_at": "2037-01-01T00:00:00Z"},
        {"labels": {f"k{n}": "v" for n in range(33)}},
        {"labels": {"k" * 64: "v"}},
        {"labels": {"Upper": "v"}},
        {"labels": {"": "v"}},
        {"labels": {"k": "v" * 256}},
        {"labels": {"k": 1}},
        {"labels": {"k": {"deep": "er"}}},
        {"labels": ["k"]},
        {"unique_key": ""},
        {"project_id": ""},
        {"tenant_id": ""},
        {"group_id": ""},
        {"unique_key": "k" * 256},
        {"on_conflict": "replace"},
        {"retry": {"attempts": 0}},
        {"retry": {"attempts": 101}},
        {"retry": {"coefficient": 0.5}},
        {"retry": {"initial_seconds": 0}},
        {"retry": {"initial_seconds": 10, "maximum_seconds": 1}},
        {"retry": {"maximum_seconds": "inf"}},
        {"deadline": "2020-01-01T00:00:00Z"},
        {"deadline": "9999-12-31T23:59:59Z"},
        {"ttl_seconds": 0},
        {"ttl_seconds": 1e12},
        {"ttl_seconds": 1, "deadline": "2036-01-01T00:00:00Z"},
        {
            "run_at": (datetime.now(UTC) + timedelta(days=2)).isoformat(),
            "deadline": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
        },
        {"callback": {"url": "ftp://example.org"}},
        {"callback": {"url": "no url"}},
        {"callback": {"url": "http://"}},
        {"callback": "http://example.org"},
        {"callback": {"url": "https://example.org/" + "x" * 2048}},
        {"callback": {"url": "https://example.org/", "events": ["started"]}},
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
        ({"group_id": "tenant:t-ann"}, "t-ann"),
        ({"group_id": "t-ann"}, "t-ann"),
        ({"group_id": "tenant:t-ann", "project_id": "p-ann"}, "t-ann"),
        ({"group_id": "p-ann", "tenant_id": "t-ann"}, "p-ann"),
    ],
)
async def test_groups(client: httpx.AsyncClient, task_of: Any, named: dict[str, str], group: str) -> None:
    answer = await client.post(URL, json={"type": "probe", **named})
    assert (await task_of(answer.json()["task_id"]))["group_id"] == group


@pytest.mark.parametrize(
    "named",
    [
        {"group_id": "neo4j"},
        {"group_id": "global"},
        {"group_id": "t-bob"},
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
        "t-ann",
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


async def test_what_else_may_be_asked(client: httpx.AsyncClient, database: Database) -> None:
    body = {
        "type": "probe",
        "labels": {"team/name": "blü", "run": ""},
        "unique_key": "nightly",
        "retry": {"attempts": 9, "initial_seconds": 0.5, "coefficient": 3, "maximum_seconds": 60},
        "delay_seconds": 60,
        "ttl_seconds": 30,
        "callback": {"url": "https://example.org/done?x=1"},
    }
    task_id = (await client.post(URL, json=body)).json()["task_id"]
    view = (await client.get(f"{URL}/{task_id}")).json()
    assert (view["labels"], view["unique_key"], view["callback"]) == (
        body["labels"],
        "nightly",
        {"url": "https://example.org/done?x=1"},
    )
    assert view["retry"] == {"initial_seconds": 0.5, "coefficient": 3, "maximum_seconds": 60}
    assert view["max_attempts"] == 9
    due, deadline = (datetime.fromisoformat(view[name]) for name in ("not_before", "deadline"))
    assert deadline - due == timedelta(seconds=30)


async def test_a_unique_key_of_an_active_task(client: httpx.AsyncClient, database: Database, people: Any) -> None:
    body = {"type": "probe", "unique_key": "k"}
    first = (await client.post(URL, json=body)).json()["task_id"]
    refused = await client.post(URL, json=body)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:taskgate:error:unique_key_taken")
    assert refused.json()["task_id"] == first
    known = await client.post(URL, json={**body, "on_conflict": "return"}, headers={"Idempotency-Key": "a"})
    assert (known.status_code, known.json()["task_id"], known.json()["status"]) == (200, first, "pending")
    await people.add_member("ann", "t-bob")
    elsewhere = await client.post(URL, json={**body, "tenant_id": "t-bob"})
    assert elsewhere.status_code == 202
    await database.execute("UPDATE taskgate.dispatch SET state = 'completed'")
    await database.execute("UPDATE task_logs SET status = 'COMPLETED', completed_at = now()")
    again = await client.post(URL, json={**body, "on_conflict": "return"}, headers={"Idempotency-Key": "a"})
    assert (again.status_code, again.json()) == (200, known.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert (await client.post(URL, json=body)).status_code == 202


async def test_many_submit_the_same_unique_key_at_once(client: httpx.AsyncClient, database: Database) -> None:
    body = {"type": "probe", "unique_key": "k"}
    headers = [{}, {"Idempotency-Key": "a"}, {"Idempotency-Key": "b"}] * 8
    answers = await asyncio.gather(*(client.post(URL, json=body, headers=header) for header in headers))
    assert await database.fetchval("SELECT count(*) FROM taskgate.dispatch") == 1
    (task_id,) = {answer.json()["task_id"] for answer in answers}
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert task_id == await database.fetchval("SELECT id FROM task_logs")


async def test_a_retry_whose_unique_key_is_taken(client: httpx.AsyncClient, database: Database) -> None:
    body = {"type": "probe", "unique_key": "k"}
    failed = (await client.post(URL, json=body)).json()["task_id"]
    assert (await client.post(f"/api/v1/tasks/{failed}/stop")).status_code == 200
    active = (await client.post(URL, json=body)).json()["task_id"]
    refused = await client.post(f"/api/v1/tasks/{failed}/retry")
    assert refused.status_code == 409
    assert active in refused.json()["detail"]
    assert await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = $1", failed) == "stopped"
    await client.post(f"/api/v1/tasks/{active}/stop")
    assert (await client.post(f"/api/v1/tasks/{failed}/retry")).status_code == 200
