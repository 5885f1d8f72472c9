"""How often keys may be used and guessed, and what is kept of their use."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.access.batched_lookup import SQL, SUSPECT_PAUSE
from gateway.access.key_use import MOST_ADDRESSES
from gateway.access.keys import create_key, hash_key
from gateway.storage.database import Database

KEYS = "/gateway/v1/keys"
TASKS = "/gateway/v1/tasks"
READY = "/gateway/v1/ready"
LEGACY_TASKS = "/api/v1/tasks/"


async def test_a_key_makes_so_many_requests_a_minute(client: httpx.AsyncClient, make: Any, bearer: Any) -> None:
    headers = bearer((await make(client, per_minute=3))["key"])
    bad = await client.post(TASKS, json={"type": 7}, headers=headers)  # asks twice who calls, and counts once
    assert bad.status_code == 422
    statuses = [(await client.get(TASKS, headers=headers)).status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    answer = await client.get(TASKS, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (429, "urn:taskgate:error:key_rate_exceeded")
    assert int(answer.headers["retry-after"]) >= 1
    assert (await client.get(TASKS)).status_code == 200


async def test_failed_attempts_of_an_address(serve: Any, bearer: Any) -> None:
    async with serve(failed_attempts_per_minute=3) as (client, _):
        for _ in range(3):
            assert (await client.get(LEGACY_TASKS, headers=bearer(create_key()))).status_code == 401
        answer = await client.get(LEGACY_TASKS, headers=bearer(create_key()))
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 20


async def test_readiness_is_told_whatever_is_wrong_with_a_key(
    serve: Any, admin: dict[str, str], make: Any, bearer: Any
) -> None:
    async with serve(failed_attempts_per_minute=3) as (client, _):
        headers = bearer((await make(client, admin, per_minute=1))["key"])
        assert {(await client.get(READY, headers=headers)).status_code for _ in range(3)} == {200}
        assert (await client.get(TASKS, headers=headers)).status_code == 429
        for _ in range(5):
            answer = await client.get(READY, headers=bearer(create_key()))
            assert (answer.status_code, answer.json()["database"]["status"]) == (200, "ok")
        assert (await client.get(TASKS, headers=bearer(create_key()))).status_code == 429


async def test_a_valid_key_passes_among_the_wrong_ones_of_its_neighbours(
    serve: Any, key: str, bearer: Any, people: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await people.add_key("ann")
    async with serve(failed_attempts_per_minute=3) as (client, gateway):
        assert (await client.get(LEGACY_TASKS, headers=bearer(other))).status_code == 200
        for _ in range(3):
            await client.get(LEGACY_TASKS, headers=bearer(create_key()))

        looked_up: list[int] = []
        fetch = gateway.database.fetch

        async def count(sql: str, *arguments: Any) -> Any:
            if sql == SQL.admit:
                looked_up.append(len(arguments[0]))
            return await fetch(sql, *arguments)

        monkeypatch.setattr(gateway.database, "fetch", count)
        began = time.monotonic()
        *guesses, unseen = await asyncio.gather(
            *(client.get(LEGACY_TASKS, headers=bearer(create_key())) for _ in range(300)),
            client.get(LEGACY_TASKS, headers=bearer(key)),
        )
        most = (time.monotonic() - began) / SUSPECT_PAUSE + 1
        assert {guess.status_code for guess in guesses} == {429}
        assert unseen.status_code == 200
        assert sum(looked_up) == 301
        assert len(looked_up) <= most
        # One that was valid here before does not wait for them.
        looked_up.clear()
        gateway.access._slow_lookups._next_at = asyncio.get_running_loop().time() + 3600
        assert (await client.get(LEGACY_TASKS, headers=bearer(other))).status_code == 200
        assert (await client.get(LEGACY_TASKS, headers=bearer(key))).status_code == 200


async def test_a_key_used_from_a_thousand_addresses(serve: Any, key: str, database: Database, bearer: Any) -> None:
    async with serve() as (client, gateway):
        app = client._transport.app
        for n in range(1000):
            transport = httpx.ASGITransport(app, client=(f"10.1.{n // 250}.{n % 250}", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as one:
                answer = await one.get("/gateway/v1/pauses", headers=bearer(key))
                assert answer.status_code == 200
        await gateway.access._use._write()
        shown = (await client.get(f"{KEYS}/{hash_key(key)}", headers=bearer(key))).json()
        assert len(shown["addresses"]) == MOST_ADDRESSES
        assert shown["addresses"][0] == "10.1.3.249"
        assert datetime.now(UTC) - datetime.fromisoformat(shown["last_used_at"]) < timedelta(seconds=30)
    assert await database.fetchval("SELECT count(*) FROM taskgate.key_address") <= MOST_ADDRESSES + 1
