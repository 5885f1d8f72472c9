"""A world per stage of the migration, on real servers; every suite here runs in all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from contracts.people import Household
from contracts.world import Servers, World
from deploy.local.database_stock import DatabaseStock
from deploy.local.ports import free_port
from deploy.local.pytest_stack import Stacks
from deploy.local.temporal_setup import ensure_namespace

STAGES = ("off", "live", "complete", "flipped")


@pytest_asyncio.fixture(scope="session")
async def contract_redis(stacks: Stacks) -> str:
    """A Redis of these suites' own: a world lives as long as its tests, and others empty theirs."""
    return (await stacks.make(("redis",))).redis_url


@pytest_asyncio.fixture(scope="session")
async def contract_namespace(temporal_server: str, temporal_namespace: str) -> Callable[[], Awaitable[str]]:
    """A namespace of these suites' own, for the same reason; it is made ready while the first stage runs."""
    name = f"{temporal_namespace}-contracts"
    making = asyncio.create_task(ensure_namespace(temporal_server, name))

    async def ready() -> str:
        await making
        return name

    return ready


@pytest_asyncio.fixture(scope="session", params=STAGES)
async def world(
    request: pytest.FixtureRequest,
    databases: DatabaseStock,
    contract_redis: str,
    contract_namespace: Callable[[], Awaitable[str]],
    temporal_server: str,
    neo4j_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[World]:
    """The gateway and its workers at one stage.

    `off`: Temporal is not even configured. `complete`: Redis is down for good. `flipped`: tests move their tenants in
    mid-run.
    """
    stage: str = request.param
    async with databases.one() as database_url:
        servers = Servers(
            database_url=database_url,
            redis_url=f"redis://127.0.0.1:{free_port()}/0" if stage == "complete" else contract_redis,
            temporal_address=None if stage == "off" else temporal_server,
            temporal_namespace="none" if stage == "off" else await contract_namespace(),
            graph_url=neo4j_server,
        )
        async with World(stage, servers, tmp_path_factory.mktemp(stage)).running() as world:
            yield world


@pytest_asyncio.fixture
async def home(world: World) -> Household:
    """A tenant of the test's own."""
    return await world.people.household()


@pytest_asyncio.fixture
async def stranger(world: World) -> Household:
    """Another tenant."""
    return await world.people.household()
