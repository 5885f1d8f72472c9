"""A real browser on a real stack: gateway, workers of both backends, and the console as it is built."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from contracts.people import Household
from contracts.world import Servers, World
from deploy.local import console
from deploy.local.chromium import locate
from deploy.local.database_stock import DatabaseStock
from deploy.local.pytest_stack import Stacks
from deploy.local.temporal_setup import ensure_namespace
from visitor import Visitor, visiting

#: `make screenshots` names the folder.
SCREENSHOTS = os.environ.get("TASKGATE_SCREENSHOTS")


@pytest_asyncio.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium of the system."""
    await console.build(print)
    program = await locate(print)
    async with async_playwright() as playwright:
        # As root it has no sandbox of its own.
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session")
async def world(
    databases: DatabaseStock,
    stacks: Stacks,
    temporal_server: str,
    temporal_namespace: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[World]:
    """Both backends; tenants are on Redis until a test moves them."""
    namespace = f"{temporal_namespace}-browser"
    await ensure_namespace(temporal_server, namespace)
    async with databases.one() as database_url:
        servers = Servers(
            database_url=database_url,
            redis_url=(await stacks.make(("redis",))).redis_url,
            temporal_address=temporal_server,
            temporal_namespace=namespace,
            graph_url=None,
        )
        async with World("off", servers, tmp_path_factory.mktemp("browser")).running() as world:
            yield world


@pytest_asyncio.fixture
async def home(world: World) -> Household:
    """A tenant of the test's own."""
    return await world.people.household()


@pytest.fixture(scope="session")
def pictures() -> Path | None:
    """Where pictures are wanted, if they are."""
    return Path(SCREENSHOTS) if SCREENSHOTS else None


Visit = Callable[..., Awaitable[Visitor]]


@pytest_asyncio.fixture
async def visit(browser: Browser, world: World, pictures: Path | None) -> AsyncIterator[Visit]:
    """Opens the console in a browser profile of its own; what went wrong in there fails the test."""
    async with visiting(browser, world.url, pictures) as visit:
        yield visit
