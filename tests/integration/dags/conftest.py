"""DAGs over HTTP on a real database; each test has a tenant of its own. No engine is configured."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from contracts.dag_world import Dags, DagWorld
from contracts.people import Household, People
from contracts.world import Servers
from deploy.local.database_stock import DatabaseStock
from gateway.app import create_app
from gateway.bootstrap import Gateway, build_gateway
from gateway.settings import Settings
from gateway.storage.database import Database


@pytest.fixture
async def home(database: Database) -> Household:
    return await People(database).household("enterprise")


@pytest.fixture
async def stranger(database: Database) -> Household:
    return await People(database).household()


@pytest.fixture
async def gateway(database: Database) -> AsyncIterator[Gateway]:
    """Limits are small, so that tests reach them."""
    gateway = build_gateway(Settings(database_url=database.url, dag_max_nodes=50, dag_max_depth=2), engines={})
    yield gateway
    await gateway.close()


@pytest.fixture
async def client(gateway: Gateway, home: Household) -> AsyncIterator[httpx.AsyncClient]:
    """Sends the key of `home`'s owner."""
    transport = httpx.ASGITransport(create_app(gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=home.owner.headers) as client:
        yield client


@pytest_asyncio.fixture(scope="session")
async def dag_world(
    databases: DatabaseStock,
    temporal_server: str,
    temporal_namespace: str,
    neo4j_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[DagWorld]:
    """Every tenant on Temporal; Redis is not configured."""
    async with databases.one() as database_url:
        servers = Servers(
            database_url=database_url,
            redis_url=None,
            temporal_address=temporal_server,
            temporal_namespace=temporal_namespace,
            graph_url=neo4j_server,
        )
        async with DagWorld("live", servers, tmp_path_factory.mktemp("dags")).running() as world:
            yield world


@pytest_asyncio.fixture
async def dags(dag_world: DagWorld) -> Dags:
    """The DAGs of a tenant of the test's own."""
    return Dags(dag_world, await dag_world.people.household())
