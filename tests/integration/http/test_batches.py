"""`/gateway/v1/tasks/batch`: many tasks, all or each."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from gateway.storage.database import Database

URL = "/gateway/v1/tasks/batch"


async def count(database: Database) -> int:
    tasks = await database.fetchval("SELECT count(*) FROM task_logs t JOIN taskgate.dispatch d ON d.task_id = t.id")
    assert tasks == await database.fetchval("SELECT count(*) FROM task_logs")
    return int(tasks)


async def test_all(client: httpx.AsyncClient, task_of: Any) -> None:
    tasks = [
        {"type": "probe", "payload": {"n": 0}, "project_id": "p-ann", "labels": {"run": "1"}},
        {"type": "other", "delay_seconds": 60, "priority": 5, "retry": {"attempts": 7}},
    ]
    answer = await client.post(URL, json={"tasks": tasks})
    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], body["active"], body["refused"]) == (2, 0, 0)
    assert [(item["index"], item["status"]) for item in body["tasks"]] == [(0, "pending"), (1, "pending")]
    first, second = [await task_of(item["task_id"]) for item in body["tasks"]]
    assert (first["group_id"], first["payload"]["n"], second["priority"]) == ("p-ann", 0, 5)
    assert second["not_before"] is not None
    view = (await client.get(f"/gateway/v1/tasks/{first['id']}")).json()
    assert (view["labels"], view["retry"], view["max_attempts"]) == ({"run": "1"}, None, 3)
    view = (await client.get(f"/gateway/v1/tasks/{second['id']}")).json()
    assert (view["labels"], view["max_attempts"]) == ({}, 7)


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"type": "a b"}, 422),
        ("no object", 422),
        ({"type": "probe", "run_at": "2126-01-01T00:00:00Z"}, 422),
        ({"type": "probe", "project_id": "p-bob"}, 403),
        ({"type": "probe", "parent_task_id": "unknown"}, 404),
        ({"type": "probe", "unique_key": "k"}, 409),
    ],
)
async def test_one_that_is_refused(client: httpx.AsyncClient, database: Database, wrong: Any, status: int) -> None:
    good = {"type": "probe", "unique_key": "k"}
    answer = await client.post(URL, json={"tasks": [good, wrong]})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert await count(database) == 0
    answer = await client.post(URL, json={"mode": "each", "tasks": [good, wrong, {"type": "probe"}]})
    assert answer.status_code == 202
    body = answer.json()
    assert [item["status"] for item in sorted(body["tasks"], key=lambda item: int(item["index"]))] == [
        "pending",
        "refused",
        "pending",
    ]
    (refused,) = [item for item in body["tasks"] if item["status"] == "refused"]
    assert (refused["index"], refused["error"]["status"], refused["error"]["instance"]) == (1, status, URL)
    assert await count(database) == 2


async def test_unique_keys(client: httpx.AsyncClient, database: Database) -> None:
    active = (await client.post("/gateway/v1/tasks", json={"type": "probe", "unique_key": "k"})).json()["task_id"]
    returning = {"type": "probe", "unique_key": "k", "on_conflict": "return"}
    refusing = {"type": "probe", "unique_key": "k"}
    answer = await client.post(URL, json={"tasks": [returning, {"type": "probe"}]})
    assert [(item["status"], item["task_id"] == active) for item in answer.json()["tasks"]] == [
        ("active", True),
        ("pending", False),
    ]
    answer = await client.post(URL, json={"tasks": [{"type": "probe"}, refusing]})
    assert (answer.status_code, answer.json()["task_id"]) == (409, active)
    body = (await client.post(URL, json={"mode": "each", "tasks": [refusing, {"type": "probe"}]})).json()
    assert (body["tasks"][0]["error"]["task_id"], body["tasks"][1]["status"]) == (active, "pending")
    assert await count(database) == 3


async def test_a_unique_key_twice_where_all_are_refused(client: httpx.AsyncClient, database: Database) -> None:
    """No task is named: the one with the key is refused as well."""
    answer = await client.post(URL, json={"tasks": [{"type": "probe", "unique_key": "k"}] * 2})
    body = answer.json()
    assert (answer.status_code, body["type"]) == (409, "urn:taskgate:error:unique_key_taken")
    assert (body["detail"], body.get("task_id")) == ("tasks[1]: Two of these tasks have the same unique_key.", None)
    assert await count(database) == 0


async def test_idempotency(client: httpx.AsyncClient, database: Database) -> None:
    body = {"mode": "each", "tasks": [{"type": "probe", "unique_key": "k"}, {"type": "a b"}]}
    first, second = [await client.post(URL, json=body, headers={"Idempotency-Key": "b1"}) for _ in range(2)]
    assert first.status_code == second.status_code == 202
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert await count(database) == 1
    other = await client.post(URL, json={"tasks": [{"type": "probe"}]}, headers={"Idempotency-Key": "b1"})
    assert other.status_code == 422


async def test_a_repetition_meets_its_own_unique_keys(client: httpx.AsyncClient, database: Database) -> None:
    body = {"tasks": [{"type": "probe", "unique_key": "k"}, {"type": "probe"}]}
    first, second = [await client.post(URL, json=body, headers={"Idempotency-Key": "b1"}) for _ in range(2)]
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert await count(database) == 2
    another = await client.post(URL, json={"tasks": body["tasks"][:1]}, headers={"Idempotency-Key": "b1"})
    assert another.status_code in (409, 422)
    assert (await client.post(URL, json=body, headers={"Idempotency-Key": "b2"})).status_code == 409
    assert await count(database) == 2


async def test_repetitions_at_the_same_time(client: httpx.AsyncClient, database: Database) -> None:
    body = {"tasks": [{"type": "probe", "unique_key": "k"}, {"type": "probe"}]}
    answers = await asyncio.gather(*(client.post(URL, json=body, headers={"Idempotency-Key": "b1"}) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 7
    assert await count(database) == 2


@pytest.mark.parametrize("body", [{}, {"tasks": []}, {"tasks": {}}, {"mode": "some", "tasks": [{"type": "probe"}]}])
async def test_out_of_form(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await client.post(URL, json=body)).status_code == 422


async def test_without_a_key(client: httpx.AsyncClient) -> None:
    headers = {"Authorization": "Bearer ms_sk_" + "0" * 64}
    for tasks in ([{"type": "a b"}], [{"type": "probe"}]):
        answer = await client.post(URL, json={"mode": "each", "tasks": tasks}, headers=headers)
        assert answer.status_code == 401


async def test_limits(serve: Any, key: str) -> None:
    async with serve(max_batch_tasks=2, max_batch_bytes=3000, max_body_bytes=1024) as (client, _):
        client.headers["Authorization"] = f"Bearer {key}"
        task = {"type": "probe", "payload": {"text": "x" * 700}}
        assert (await client.post(URL, json={"tasks": [task, task]})).status_code == 202
        assert (await client.post(URL, json={"tasks": [{"type": "probe"}] * 3})).status_code == 413
        assert (await client.post(URL, json={"tasks": [task] * 5})).status_code == 413


async def test_ten_thousand(client: httpx.AsyncClient, database: Database) -> None:
    body = {"tasks": [{"type": "probe", "payload": {"n": n}, "labels": {"run": "1"}} for n in range(10_000)]}
    answer = await client.post(URL, json=body, timeout=60)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 10_000)
    assert await count(database) == 10_000


async def test_a_task_is_no_larger_in_a_batch_than_alone(client: httpx.AsyncClient, database: Database) -> None:
    large = {"type": "probe", "payload": {"x": "x" * 10 * 1024 * 1024}}
    answer = await client.post(URL, json={"tasks": [{"type": "probe"}, large]})
    refusal = "tasks[1]: A task of a batch is at most 10485760 bytes."
    assert (answer.status_code, answer.json()["detail"]) == (413, refusal)
    assert await count(database) == 0
    answer = await client.post(URL, json={"mode": "each", "tasks": [large, {"type": "probe"}]})
    assert (answer.status_code, answer.json()["accepted"], answer.json()["refused"]) == (202, 1, 1)
    assert await count(database) == 1
