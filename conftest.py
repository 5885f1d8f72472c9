"""Fixtures of every suite: real servers on demand, and a fresh, migrated database."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from deploy.local.database_stock import DatabaseStock
from gateway.db import Database
from gateway.schema.migrate import create_legacy_tables, migrate

pytest_plugins = ["deploy.local.pytest_stack"]


@pytest_asyncio.fixture(scope="session")
async def databases(postgres_server: str) -> AsyncIterator[DatabaseStock]:
    """Databases with the legacy tables and the gateway's, for those who need more than `database_url`."""
    name = f"template_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres_server)
    await admin.execute(f'CREATE DATABASE "{name}"')
    url = f"{postgres_server.rpartition('/')[0]}/{name}"
    await create_legacy_tables(url)
    await migrate(url)
    async with DatabaseStock(postgres_server, name) as stock:
        yield stock
    await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await admin.close()


@pytest_asyncio.fixture
async def database_url(databases: DatabaseStock) -> AsyncIterator[str]:
    """A database of the test's own."""
    async with databases.one() as url:
        yield url


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The pool over `database_url`."""
    pool = Database(database_url)
    yield pool
    await pool.close()
