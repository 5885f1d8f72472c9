"""Contract §1: keys, the headers that carry them, and how callers without a valid one are answered."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from contracts.endpoints import ALL, CREATING, Endpoint
from contracts.people import Household
from contracts.stages import AT_ONE_STAGE
from contracts.world import World

pytestmark = AT_ONE_STAGE

MISSING = {"detail": "Missing API key. Please provide an API key in the Authorization header."}
MALFORMED = {"detail": "Invalid API key format. API keys should start with 'ms_sk_'"}
UNKNOWN = {"detail": "Invalid API key"}


async def ask(world: World, endpoint: Endpoint, headers: dict[str, str], body: bytes = b"{}") -> httpx.Response:
    path = endpoint.path.format(task="6f1c2c1e-0000-4000-8000-000000000000")
    query = dict(endpoint.query)
    return await world.client().request(endpoint.method, path, params=query, headers=headers, content=body)


@pytest.mark.parametrize("form", ["Bearer {}", "Token {}", "{}"])
async def test_a_key_is_accepted_in_every_form(world: World, home: Household, form: str) -> None:
    headers = {"Authorization": form.format(home.owner.key)}
    answer = await world.client().get("/api/v1/tasks/", headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"tasks": [], "total": 0})


async def test_without_a_key(world: World) -> None:
    for endpoint in ALL:
        answer = await ask(world, endpoint, {})
        assert (str(endpoint), answer.status_code, answer.json()) == (str(endpoint), 401, MISSING)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(("key", "detail"), [("sk_0123456789", MALFORMED), (f"ms_sk_{'0' * 64}", UNKNOWN)])
async def test_without_a_valid_key(world: World, key: str, detail: dict[str, str]) -> None:
    for endpoint in ALL:
        answer = await ask(world, endpoint, {"Authorization": f"Bearer {key}"})
        assert (str(endpoint), answer.status_code, answer.json()) == (str(endpoint), 401, detail)


async def test_who_has_no_key_is_not_told_what_is_wrong_with_a_body(world: World) -> None:
    for endpoint in CREATING:
        for body in (b"{", b'{"content": 7}', b""):
            answer = await ask(world, endpoint, {"Authorization": f"Bearer ms_sk_{'0' * 64}"}, body)
            assert (str(endpoint), answer.status_code, answer.json()) == (str(endpoint), 401, UNKNOWN)


async def test_a_deactivated_key(world: World, home: Household) -> None:
    key = await world.people.key(home.owner.user_id, active=False)
    answer = await world.client().get("/api/v1/tasks/stats", headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()) == (401, {"detail": "API key has been deactivated"})


async def test_an_expired_key(world: World, home: Household) -> None:
    key = await world.people.key(home.owner.user_id, expires_in=-1)
    answer = await world.client().get("/api/v1/tasks/stats", headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()) == (401, {"detail": "API key has expired"})
    key = await world.people.key(home.owner.user_id, expires_in=3600)
    answer = await world.client().get("/api/v1/tasks/stats", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200


async def test_a_key_that_is_revoked_is_refused_at_once(world: World, home: Household) -> None:
    assert (await world.client(home.owner).get("/api/v1/tasks/stats")).status_code == 200
    await world.database.execute("UPDATE api_keys SET is_active = false WHERE user_id = $1", home.owner.user_id)
    assert (await world.client(home.owner).get("/api/v1/tasks/stats")).status_code == 401


async def test_each_verified_request_is_noted_on_its_key(world: World, home: Household) -> None:
    query = "SELECT last_used_at FROM api_keys WHERE user_id = $1"
    assert await world.database.fetchval(query, home.owner.user_id) is None
    began = await world.database.fetchval("SELECT now()")
    async with asyncio.timeout(5):
        while (used := await world.database.fetchval(query, home.owner.user_id)) is None:
            assert (await world.client(home.owner).get("/api/v1/tasks/")).status_code == 200
    assert used >= began


async def test_a_request_that_was_not_verified_is_not_noted(world: World, home: Household) -> None:
    key = await world.people.key(home.owner.user_id, expires_in=-1)
    await world.client().get("/api/v1/tasks/", headers={"Authorization": f"Bearer {key}"})
    await world.client(home.member).get("/api/v1/tasks/")
    used = "SELECT count(*) FROM api_keys WHERE user_id = $1 AND last_used_at IS NOT NULL"
    async with asyncio.timeout(5):
        while not await world.database.fetchval(used, home.member.user_id):
            await world.client(home.member).get("/api/v1/tasks/")
    assert await world.database.fetchval(used, home.owner.user_id) == 0


async def test_health_needs_no_key(world: World) -> None:
    answer = await world.client().get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert isinstance(answer.json()["version"], str)
