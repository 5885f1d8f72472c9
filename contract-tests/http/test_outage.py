"""What clients read of a gateway that cannot serve them: JSON, and `Retry-After` in whole seconds (contract §4)."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest_asyncio

from contracts.endpoints import ALL, body_of
from contracts.people import Household
from contracts.shapes import DETAIL, check
from contracts.world import World


@pytest_asyncio.fixture(scope="module")
async def cut_off(world: World) -> AsyncIterator[str]:
    """The URL of a gateway whose PostgreSQL is away."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with world.another_gateway(database_url=f"postgresql://nobody@127.0.0.1:{port}/none") as url:
        yield url


async def test_without_its_database_every_endpoint_says_when_to_come_again(
    world: World, home: Household, cut_off: str
) -> None:
    client = world.client(home.owner)
    for endpoint in ALL:
        url = cut_off + endpoint.path.format(task="6f1c2c1e-0000-4000-8000-000000000000")
        body = body_of(endpoint, home)
        answer = await client.request(endpoint.method, url, json=body, params=dict(endpoint.query))
        assert (str(endpoint), answer.status_code) == (str(endpoint), 503)
        check(answer.json(), DETAIL)
        assert int(answer.headers["Retry-After"]) >= 1


async def test_a_stream_without_its_database(world: World, home: Household, cut_off: str) -> None:
    for person in (home.owner, None):
        answer = await world.client(person).get(f"{cut_off}/api/v1/tasks/6f1c2c1e/stream")
        assert answer.status_code == 503
        check(answer.json(), DETAIL)
        assert int(answer.headers["Retry-After"]) >= 1


async def test_without_its_database_the_process_is_alive_and_not_ready(world: World, cut_off: str) -> None:
    assert (await world.client().get(f"{cut_off}/health")).json()["status"] == "ok"
    answer = await world.client().get(f"{cut_off}/gateway/v1/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")


async def test_what_is_wrong_without_a_database_is_still_told(world: World, home: Household, cut_off: str) -> None:
    """A key that cannot be one is refused without a look at the database."""
    answer = await world.client().get(f"{cut_off}/api/v1/tasks/")
    assert answer.status_code == 401
    answer = await world.client(home.owner).post(f"{cut_off}/api/v1/episodes/", content=b"x" * 1_000_001)
    assert answer.status_code == 413
