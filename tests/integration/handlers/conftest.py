"""A graph, a database and a context for handlers, on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib import resources
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from gateway.settings import Settings
from gateway.storage.database import Database
from workers.context import ContextFactory, WorkerContext
from workers.graph.connection import GraphConnection
from workers.graph.stats import GroupGraph, read_group

_REMOVE = "MATCH (n) WHERE n.group_id = $group_id OR n.group_id STARTS WITH $group_id + '-' DETACH DELETE n"


def _settings(graph_url: str) -> Settings:
    return Settings(graph_url=graph_url, llm_url=None, embedder_url=None, models_module="deploy.demo")


class Reports:
    """What a handler reported, in order."""

    def __init__(self) -> None:
        self.progress: list[int] = []
        self.messages: list[str] = []
        self.result: Any = None
        self._news = asyncio.Condition()
        self.rebuilds: list[str] = []

    async def update(
        self,
        task_id: str,
        *,
        progress: int | None = None,
        result: Any = None,
        message: str | None = None,
        increment_retry: bool = False,
    ) -> None:
        if progress is not None:
            self.progress.append(progress)
        if message is not None:
            self.messages.append(message)
        if result is not None:
            self.result = result
        async with self._news:
            self._news.notify_all()

    async def reached(self, progress: int) -> None:
        """Wait until a handler reports this progress."""
        async with self._news:
            await self._news.wait_for(lambda: progress in self.progress)

    async def submit_rebuild(self, task_group_id: str) -> str:
        self.rebuilds.append(task_group_id)
        return f"rebuild-{len(self.rebuilds)}"


class Bench:
    """Everything that a test of a handler needs, for one group of its own."""

    def __init__(self, contexts: ContextFactory, database: Database, group_id: str) -> None:
        self.contexts = contexts
        self.database = database
        self.group_id = group_id
        self.reports = Reports()

    @property
    def graph(self) -> GraphConnection:
        return self.contexts.graph

    @property
    def driver(self) -> Any:
        return self.graph.client.driver

    @property
    def context(self) -> WorkerContext:
        return self.contexts.build(self.reports, self.reports)

    async def read(self, group_id: str | None = None) -> GroupGraph:
        return await read_group(self.driver, group_id or self.group_id)

    def episode(self, content: str, **more: Any) -> dict[str, Any]:
        """The payload of an `add_episode` task."""
        return {
            "task_type": "add_episode",
            "task_id": str(uuid4()),
            "group_id": self.group_id,
            "name": "An episode",
            "content": content,
            "source_description": "test",
            "episode_type": "text",
            "uuid": str(uuid4()),
            "tenant_id": "acme",
            "project_id": self.group_id,
            "user_id": "u1",
            "memory_id": None,
            **more,
        }


@pytest_asyncio.fixture(scope="session")
async def handler_database(postgres_server: str) -> AsyncIterator[Database]:
    """A database of its own with the legacy tables."""
    name = f"handlers_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(postgres_server)
    await admin.execute(f'CREATE DATABASE "{name}"')
    database = Database(f"{postgres_server.rpartition('/')[0]}/{name}", size=5)
    await database.execute(resources.files("gateway.storage.schema").joinpath("legacy.sql").read_text(encoding="utf-8"))
    yield database
    await database.close()
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


@pytest_asyncio.fixture(scope="session")
async def handler_contexts(neo4j_server: str, handler_database: Database) -> AsyncIterator[ContextFactory]:
    """Contexts with the demo's extractor and embedder."""
    contexts = ContextFactory(_settings(neo4j_server), handler_database)
    await contexts.warm_up()
    yield contexts
    await contexts.close()


@pytest_asyncio.fixture
async def bench(handler_contexts: ContextFactory, handler_database: Database) -> AsyncIterator[Bench]:
    """A fresh group; what was written to it is removed afterwards."""
    bench = Bench(handler_contexts, handler_database, f"test-{uuid4().hex[:12]}")
    yield bench
    await bench.driver.execute_query(_REMOVE, group_id=bench.group_id)


@pytest.fixture
def rival(bench: Bench, neo4j_server: str, handler_database: Database) -> ContextFactory:
    """The contexts of another worker on the same servers; the test closes them."""
    return ContextFactory(_settings(neo4j_server), handler_database)
