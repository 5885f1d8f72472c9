"""`Idempotency-Key`, on every endpoint that creates tasks."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from backends.memory.engine import CAPABILITIES, MemoryEngine
from backends.port import Capability
from workers.testing.waiting import until

EPISODES = "/api/v1/episodes/"
REFRESH = "/api/v1/maintenance/refresh/incremental"

Count = Callable[..., Awaitable[int]]


async def test_a_repeated_request_gets_the_first_answer(client: httpx.AsyncClient, count: Count) -> None:
    requests = [
        (EPISODES, {"content": "x"}),
        ("/api/v1/memories/", {"project_id": "p-ann", "title": "t", "content": "c"}),
        ("/api/v1/communities/rebuild?background=true", None),
        (REFRESH, None),
        ("/api/v1/maintenance/deduplicate", {"dry_run": False}),
        ("/api/v1/maintenance/optimize", {"dry_run": False}),
        ("/gateway/v1/tasks", {"type": "probe"}),
    ]
    for url, body in requests:
        before, headers = await count(), {"Idempotency-Key": str(uuid.uuid4())}
        first = await client.post(url, json=body, headers=headers)
        created = await count()
        assert first.status_code < 300
        assert created > before
        assert "Idempotency-Replayed" not in first.headers
        again = await client.post(url, json=body, headers=headers)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.headers["Content-Type"] == first.headers["Content-Type"]
        assert await count() == created
    assert await count("memories") == 1


async def test_a_key_that_is_used_for_something_else(client: httpx.AsyncClient, count: Count, people: Any) -> None:
    headers = {"Idempotency-Key": "k"}
    await client.post(EPISODES, json={"content": "x"}, headers=headers)
    for url, body in [(EPISODES, {"content": "y"}), (f"{EPISODES}?background=true", {"content": "x"}), (REFRESH, {})]:
        answer = await client.post(url, json=body, headers=headers)
        assert answer.status_code == 422
        assert isinstance(answer.json()["detail"], str)
    assert await count() == 1
    another = {"Authorization": await people.add_user("carl"), **headers}
    assert (await client.post(EPISODES, json={"content": "y"}, headers=another)).status_code == 202


async def test_a_repetition_that_would_be_refused_now(client: httpx.AsyncClient, count: Count, people: Any) -> None:
    """The time that it names has passed since."""
    soon = datetime.now(UTC) + timedelta(seconds=2)
    task = {"type": "probe", "deadline": soon.isoformat()}
    schedule = {"name": "s", "specs": [{"at": [soon.isoformat()]}], "action": {"type": "probe"}}
    requests = [
        ("/gateway/v1/tasks", task),
        ("/gateway/v1/tasks/batch", {"tasks": [{"type": "probe"}, task]}),
        ("/gateway/v1/schedules", schedule),
    ]
    firsts = [await client.post(url, json=body, headers={"Idempotency-Key": url}) for url, body in requests]
    assert [first.status_code for first in firsts] == [202, 202, 201]
    created = await count()
    await until(lambda: datetime.now(UTC) > soon)
    another = {"Authorization": await people.add_user("carl")}
    for first, (url, body) in zip(firsts, requests, strict=True):
        again = await client.post(url, json=body, headers={"Idempotency-Key": url})
        assert (again.status_code, again.json()) == (first.status_code, first.json())
        assert again.headers["Idempotency-Replayed"] == "true"
        for headers in ({}, {"Idempotency-Key": "new"}, {"Idempotency-Key": url, **another}):
            assert (await client.post(url, json=body, headers=headers)).status_code == 422
    assert await count() == created


async def test_a_repetition_by_whoever_lost_the_right(client: httpx.AsyncClient, database: Any, people: Any) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    headers = {"Authorization": await people.add_user("eve"), "Idempotency-Key": "k"}
    await people.add_member("eve", "t-bob")
    body = {"type": "probe", "tenant_id": "t-bob", "deadline": soon.isoformat()}
    assert (await client.post("/gateway/v1/tasks", json=body, headers=headers)).status_code == 202
    await database.execute("DELETE FROM user_tenants WHERE user_id = 'eve'")
    await until(lambda: datetime.now(UTC) > soon)
    assert (await client.post("/gateway/v1/tasks", json=body, headers=headers)).status_code == 403


async def test_a_priority_that_is_not_served_any_more(serve: Any, key: str, database: Any) -> None:
    engine = MemoryEngine(name="redis", capabilities=CAPABILITIES - {Capability.FENCED})
    await database.execute(
        "INSERT INTO taskgate.process (process_id, kind, backend, host, pid, version, lock_key)"
        " VALUES ('w', 'worker', 'redis', 'h', 1, '1', 1)"
    )
    body, headers = {"type": "probe", "priority": 1}, {"Authorization": f"Bearer {key}", "Idempotency-Key": "k"}
    async with serve({"redis": engine}) as (client, _):
        assert (await client.post("/gateway/v1/tasks", json=body, headers=headers)).status_code == 202
    await database.execute("UPDATE taskgate.process SET lost_at = now() - interval '2 days'")
    async with serve({"redis": engine}) as (client, _):
        answer = await client.post("/gateway/v1/tasks", json=body, headers=headers)
        assert (answer.status_code, answer.headers.get("Idempotency-Replayed")) == (202, "true")
        again = await client.post("/gateway/v1/tasks", json=body, headers={**headers, "Idempotency-Key": "other"})
        assert again.status_code == 409


@pytest.mark.parametrize("value", [b"", b"k" * 256, b"\xe9", b"a\tb"])
async def test_a_key_out_of_form(client: httpx.AsyncClient, count: Count, value: bytes) -> None:
    answer = await client.post(EPISODES, json={"content": "x"}, headers={b"Idempotency-Key": value})
    assert answer.status_code == 422
    assert await count() == 0
