"""`Idempotency-Key`, on every endpoint that creates tasks."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

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


@pytest.mark.parametrize("value", [b"", b"k" * 256, b"\xe9", b"a\tb"])
async def test_a_key_out_of_form(client: httpx.AsyncClient, count: Count, value: bytes) -> None:
    answer = await client.post(EPISODES, json={"content": "x"}, headers={b"Idempotency-Key": value})
    assert answer.status_code == 422
    assert await count() == 0
