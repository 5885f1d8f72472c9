"""Contract §1 over HTTP: messages, their order, and that they come before anything else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gateway.access.keys import create_key
from gateway.storage.database import Database

EPISODE = {"content": "Alice met Bob."}


async def test_no_header(client: httpx.AsyncClient) -> None:
    del client.headers["Authorization"]
    answer = await client.post("/api/v1/episodes/", json=EPISODE)
    assert answer.status_code == 401
    assert answer.json() == {"detail": "Missing API key. Please provide an API key in the Authorization header."}
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_refusals(client: httpx.AsyncClient, people: Any) -> None:
    await people.add_user("gone", is_active=False)
    refusals = {
        "sk_wrong": "Invalid API key format. API keys should start with 'ms_sk_'",
        create_key(): "Invalid API key",
        await people.add_key("ann", is_active=False): "API key has been deactivated",
        await people.add_key("ann", expires_in=-1): "API key has expired",
        await people.add_key("ann", expires_in=-1, is_active=False): "API key has been deactivated",
        await people.add_key("gone"): "API key has been deactivated",
    }
    for key, detail in refusals.items():
        answer = await client.post("/api/v1/episodes/", json=EPISODE, headers={"Authorization": f"Bearer {key}"})
        assert (answer.status_code, answer.json()) == (401, {"detail": detail})


@pytest.mark.parametrize("form", ["Bearer {}", "Token {}", "{}"])
async def test_accepted_forms(client: httpx.AsyncClient, key: str, form: str) -> None:
    headers = {"Authorization": form.format(key)}
    assert (await client.post("/api/v1/episodes/", json=EPISODE, headers=headers)).status_code == 202


async def test_a_key_that_expires_later_is_good(client: httpx.AsyncClient, people: Any) -> None:
    key = await people.add_key("ann", expires_in=60)
    headers = {"Authorization": f"Bearer {key}"}
    assert (await client.post("/api/v1/episodes/", json=EPISODE, headers=headers)).status_code == 202


async def test_a_revoked_key_is_refused_at_once(client: httpx.AsyncClient, database: Database) -> None:
    assert (await client.post("/api/v1/episodes/", json=EPISODE)).status_code == 202
    await database.execute("UPDATE api_keys SET is_active = false")
    assert (await client.post("/api/v1/episodes/", json=EPISODE)).status_code == 401


@pytest.mark.parametrize("content", [b"{", b'{"content": 7}', b"", b'{"content": "\\u0000"}'])
async def test_who_has_no_key_learns_nothing_of_the_body(client: httpx.AsyncClient, content: bytes) -> None:
    for key in ("", create_key()):
        headers = {"Authorization": key, "Content-Type": "application/json"}
        answer = await client.post("/api/v1/episodes/", content=content, headers=headers)
        assert answer.status_code == 401


async def test_last_use_is_recorded(serve: Any, key: str, database: Database) -> None:
    before = datetime.now(UTC)
    async with serve() as (client, _):
        await client.get("/api/v1/tasks/", headers={"Authorization": key})
    used = await database.fetchval("SELECT last_used_at FROM api_keys WHERE user_id = 'ann'")
    assert before <= used <= datetime.now(UTC)
    assert await database.fetchval("SELECT last_used_at FROM api_keys WHERE user_id = 'bob'") is None


OPEN = ("/health", "/gateway/v1/started", "/gateway/v1/ready", "/api/v1/tasks/{task_id}/stream")


async def test_every_endpoint_but_health_wants_a_key(
    client: httpx.AsyncClient, openapi_document: dict[str, Any]
) -> None:
    del client.headers["Authorization"]
    schema = openapi_document
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            open_to_all = {} in operation.get("security", [{}])
            assert open_to_all == (path in OPEN)
            if not open_to_all:
                answer = await client.request(method, path.replace("{task_id}", "x"))
                assert answer.status_code == 401, (method, path)
