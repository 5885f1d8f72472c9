"""DAGs over HTTP on a real database; each test has a tenant of its own. No engine is configured."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from contracts.people import Household, People
from gateway.app import create_app
from gateway.bootstrap import Gateway, build_gateway
from gateway.db import Database
from gateway.settings import Settings


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
