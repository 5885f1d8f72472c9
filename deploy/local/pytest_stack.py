"""Pytest fixtures for real servers, each started when the first test asks for it.

`TASKGATE_TEST_DATABASE_URL`, `TASKGATE_TEST_TEMPORAL_ADDRESS` (with `TASKGATE_TEST_TEMPORAL_NAMESPACE`) and
`TASKGATE_TEST_GRAPH_URL` name running servers to use instead, for a quicker start. Redis is always the session's own:
the legacy keys are fixed names, so that two test runs on one server would take each other's tasks.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Protocol

import pytest
import pytest_asyncio

from deploy.local.guardian import Guardian
from deploy.local.leave import leave
from deploy.local.ports import take_share
from deploy.local.scratch import scratch
from deploy.local.stack import SERVERS, EmbeddedStack
from deploy.local.temporal_setup import DEFAULT_NAMESPACE, ensure_namespace

#: Who uses one of these may be the first for whom a server is built.
BUILDING = {"stacks", "stack_factory", "module_stack_factory"}
#: Time limit of a test that may have to build a server first (seconds).
BUILD_SECONDS = 1500


class StackFactory(Protocol):
    """What the fixture `stack_factory` gives."""

    async def __call__(
        self, parts: Collection[str] = SERVERS, *, start: bool = True, durable: bool = False
    ) -> EmbeddedStack:
        """A stack on free ports in a temporary directory; `start=False` leaves starting to the caller."""
        ...


class Stacks:
    """Some stacks, each with a guardian that outlives a killed session."""

    def __init__(self) -> None:
        self._made: list[tuple[EmbeddedStack, Guardian]] = []
        self._shared: EmbeddedStack | None = None

    async def make(
        self, parts: Collection[str] = SERVERS, *, start: bool = True, durable: bool = False
    ) -> EmbeddedStack:
        """See `StackFactory`."""
        directory = Path(tempfile.mkdtemp(prefix="taskgate-test-", dir=scratch()))
        stack = EmbeddedStack(directory, parts, ports="free", durable=durable)
        self._made.append((stack, Guardian(directory)))
        if start:
            await stack.start()
        return stack

    async def shared(self, part: str) -> EmbeddedStack:
        """The one stack for all tests that leave their servers running, with `part` started."""
        self._shared = self._shared or await self.make(start=False)
        await self._shared.start([part])
        return self._shared

    async def destroy(self) -> None:
        """Ends everything."""
        for stack, guardian in self._made:
            await stack.destroy()
            guardian.dismiss()


@pytest_asyncio.fixture(scope="session")
async def stacks() -> AsyncIterator[Stacks]:
    """The stacks that last as long as the session; starts nothing by itself."""
    stacks = Stacks()
    yield stacks
    await stacks.destroy()


@pytest_asyncio.fixture
async def stack_factory() -> AsyncIterator[StackFactory]:
    """Makes stacks of a test's own, whose parts it may stop, kill and pause unnoticed by others; they end with it."""
    stacks = Stacks()
    yield stacks.make
    await stacks.destroy()


@pytest_asyncio.fixture(scope="module")
async def module_stack_factory() -> AsyncIterator[StackFactory]:
    """The same for the tests of a module."""
    stacks = Stacks()
    yield stacks.make
    await stacks.destroy()


@pytest_asyncio.fixture(scope="session")
async def postgres_server(stacks: Stacks) -> str:
    """A superuser's address of a PostgreSQL server, in which tests create databases of their own."""
    return os.environ.get("TASKGATE_TEST_DATABASE_URL") or (await stacks.shared("postgres")).database_url


@pytest_asyncio.fixture(scope="session")
async def redis_server(stacks: Stacks) -> str:
    """The address of a Redis server of this session; a test that needs it empty runs FLUSHALL first."""
    return (await stacks.shared("redis")).redis_url


@pytest_asyncio.fixture(scope="session")
async def temporal_server(stacks: Stacks, temporal_namespace: str) -> str:
    """`host:port` of a Temporal frontend that serves `temporal_namespace`; tests use queues and ids of their own."""
    named = os.environ.get("TASKGATE_TEST_TEMPORAL_ADDRESS")
    if not named:
        return (await stacks.shared("temporal")).temporal_address
    await ensure_namespace(named, temporal_namespace)
    return named


@pytest.fixture(scope="session")
def temporal_namespace() -> str:
    """The namespace, with the search attributes of `temporal_setup`."""
    return os.environ.get("TASKGATE_TEST_TEMPORAL_NAMESPACE") or DEFAULT_NAMESPACE


@pytest_asyncio.fixture(scope="session")
async def neo4j_server(stacks: Stacks) -> str:
    """The Bolt address of a Neo4j server without authentication; tests use group ids of their own."""
    return os.environ.get("TASKGATE_TEST_GRAPH_URL") or (await stacks.shared("neo4j")).graph_url


def pytest_configure(config: pytest.Config) -> None:
    """Sessions beside each other (pytest-xdist) each have servers of their own, on ports of their own."""
    worker = getattr(config, "workerinput", {"workerid": "gw0", "workercount": 1})
    take_share(int(worker["workerid"].removeprefix("gw")), worker["workercount"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test with servers may have to build them, whichever it is."""
    for item in items:
        if BUILDING.intersection(getattr(item, "fixturenames", ())) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(BUILD_SECONDS))


_outcome: dict[str, int] = {}


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remembers the exit code for `pytest_unconfigure`, which is not told it."""
    _outcome["code"] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leaves without Python's own ending; see `deploy.local.leave`."""
    if "temporalio" in sys.modules and "code" in _outcome and not hasattr(config, "workerinput"):
        leave(_outcome["code"])
