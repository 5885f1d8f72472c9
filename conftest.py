"""Fixtures of every suite: real servers on demand, and a fresh, migrated database."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from gateway.db import Database
from gateway.schema.migrate import create_legacy_tables, migrate

pytest_plugins = ["deploy.local.pytest_stack"]


def _with_database(url: str, name: str) -> str:
    base, _, _ = url.rpartition("/")
    return f"{base}/{name}"


@pytest_asyncio.fixture(scope="session")
async def database_template(postgres_server: str) -> AsyncIterator[tuple[str, str]]:
    """Server URL and name of a migrated database that others are copied from."""
    name = f"template_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres_server)
    await admin.execute(f'CREATE DATABASE "{name}"')
    url = _with_database(postgres_server, name)
    await create_legacy_tables(url)
    await migrate(url)
    yield postgres_server, name
    await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await admin.close()


@pytest_asyncio.fixture
async def database_url(database_template: tuple[str, str]) -> AsyncIterator[str]:
    """A database of the test's own, with the legacy tables and the gateway's."""
    server, template = database_template
    name = f"test_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(server)
    await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield _with_database(server, name)
    await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await admin.close()


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The pool over `database_url`."""
    pool = Database(database_url)
    yield pool
    await pool.close()
