"""Routers whose flag and overrides are recorded in the ledger, as in a gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from gateway.migration.ledger.authors import Authors
from gateway.migration.ledger.entries import EntriesInForce
from gateway.migration.ledger.observer import RoutingObserver
from gateway.routing.flags import FlagSource
from gateway.routing.overrides import Overrides
from gateway.routing.query import RouteQuery
from gateway.routing.router import Route, Router
from gateway.routing.stages import REDIS, TEMPORAL, Stage
from gateway.routing.table_source import FlagTableSource
from gateway.sandbox.checks import CHECK_MEGABYTES
from gateway.sandbox.pool import Sandbox
from gateway.storage.database import Database
from gateway.storage.listener import Listener
from workers.testing.waiting import until

KEY = "task-backend"
ACME = RouteQuery("acme", "add_episode", "task-1", "p1", plan=None)


@pytest_asyncio.fixture(scope="session")
async def plan_sandbox() -> AsyncIterator[Sandbox]:
    """Reads the texts of plans."""
    sandbox = Sandbox(processes=1, megabytes=CHECK_MEGABYTES, preload=("gateway.migration.plans.checking",))
    yield sandbox
    await sandbox.close()


class Routing:
    """One gateway's routing: `file` None: flags in the database."""

    def __init__(self, database: Database, file: Path | None) -> None:
        self._listener = Listener(database)
        table = None if file is not None else FlagTableSource(database, self._listener, KEY)
        self.flags = FlagSource(flag_key=KEY, file=file, table=table, held=True)
        self.entries = EntriesInForce()
        self.observer = RoutingObserver(
            database, self._listener, self.flags, self.entries, Authors(database, self.flags, None)
        )
        self.overrides = Overrides(database, self._listener, load=self.observer.load_overrides)
        self.router = Router(self.flags, self.overrides, frozenset({REDIS, TEMPORAL}), self.entries)

    async def start(self) -> None:
        await self.flags.start()
        await self.observer.start()
        await self.overrides.start()

    async def close(self) -> None:
        await self.overrides.close()
        await self.observer.close()
        await self._listener.close()
        await self.flags.close()

    def route(self, query: RouteQuery = ACME) -> Route:
        return self.router.route(query)

    async def until_stage(self, stage: Stage, query: RouteQuery = ACME) -> Route:
        await until(lambda: self.route(query).stage is stage)
        return self.route(query)


NewRouting = Callable[..., Awaitable[Routing]]


@pytest_asyncio.fixture
async def new_routing(database: Database) -> AsyncIterator[NewRouting]:
    """Each call starts one more gateway's routing."""
    started: list[Routing] = []

    async def start(file: Path | None = None) -> Routing:
        routing = Routing(database, file)
        started.append(routing)
        await routing.start()
        return routing

    yield start
    for routing in started:
        await routing.close()


@pytest.fixture
def flips(database: Database) -> Callable[[], Awaitable[list[dict[str, Any]]]]:
    """The entries but the first, as far as tests look at them."""

    async def read() -> list[dict[str, Any]]:
        rows: list[asyncpg.Record] = await database.fetch(
            "SELECT source, scope, before, after, who, why FROM taskgate.ledger WHERE source <> 'genesis' ORDER BY id"
        )
        return [dict(row) for row in rows]

    return read
