"""Fixtures of every suite: real servers on demand, and a fresh, migrated database."""

from __future__ import annotations

import asyncio
import gc
import io
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Generator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import asyncpg
import hypothesis
import pytest
import pytest_asyncio

from deploy.local.database_stock import DatabaseStock
from gateway.app import create_app
from gateway.bootstrap import build_gateway
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.schema.migrate import create_legacy_tables, migrate

#: Folders of whole systems, left to `make test-all`. A file elsewhere that costs as much says so by the mark `system`.
SYSTEMS = ("tests/browser/", "tests/integration/handlers/", "tests/system/")
#: The stages at which `make test` tries the contracts: both backends, and a move between them.
FEW_STAGES = ("complete", "flipped")
#: In the process of the browsers: one breaks off its requests when an interface of the machine comes or goes.
WITH_BROWSERS = ("tests/system/workers/test_vanished_host.py",)

#: Folders in which each file is a group of its own.
ALONE = {"chaos", "system", "unit"}
#: Session fixtures that take processor time while no test uses them; they end with the last test of their folder.
AT_WORK = ("browser", "dag_world", "world")

pytest_plugins = ["deploy.local.pytest_stack"]

# Other tests run beside: how long an example takes says nothing of what it examines.
hypothesis.settings.register_profile(
    "beside-others", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("beside-others")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What shares a stack of servers runs in one process: a folder, or a stage of the contract tests.

    Groups are given out in the order of their first tests (`--no-loadscope-reorder`): the longest first, the shortest,
    which are files of units, last, so that all processes end together.
    """
    for item in items:
        if _is_of_systems(item):
            item.add_marker(pytest.mark.system)
    if not hasattr(config, "workerinput"):
        return
    sizes = Counter(groups := [_group(item) for item in items])
    for_each_change = {
        group for item, group in zip(items, groups, strict=True) if item.get_closest_marker("system") is None
    }
    ranks = {}
    for item, group in zip(items, groups, strict=True):
        item.add_marker(pytest.mark.xdist_group(group))
        ranks[item] = (group in for_each_change, "unit/" in group, -sizes[group], group)
    items.sort(key=ranks.__getitem__)


def _is_of_systems(item: pytest.Item) -> bool:
    if item.nodeid.startswith(SYSTEMS):
        return True
    if (stage := _stage(item)) is not None:
        return stage not in FEW_STAGES
    # What is lost or repeated on Temporal waits for its timers, which are seconds.
    return item.nodeid.startswith("tests/") and "temporal_server" in getattr(item, "fixturenames", ())


def _stage(item: pytest.Item) -> str | None:
    """Of a contract test."""
    callspec = getattr(item, "callspec", None)
    stage = None if callspec is None else callspec.params.get("world")
    return stage if isinstance(stage, str) else None


def _group(item: pytest.Item) -> str:
    if (stage := _stage(item)) is not None:
        return f"contract-tests in stage {stage}"
    file = item.nodeid.partition("::")[0]
    place = Path("tests/browser/any.py" if file in WITH_BROWSERS else file)
    is_alone = not ALONE.isdisjoint(place.parts)
    return str(place) if is_alone else "/".join(place.parts[:-1][:3])


def pytest_collection_finish(session: pytest.Session) -> None:
    """The garbage collector passes over modules and thousands of tests, which live as long as the process.

    The server that forks children of sandboxes loads modules once, for whoever asks first: another gateway's children
    would import theirs in each test.
    """
    if hasattr(session.config, "workerinput"):
        for item in session.items:
            assert item.nodeid.endswith(f"@{_group(item)}"), "this pytest-xdist does not group tests under this pytest"
    gc.collect()
    gc.freeze()
    if any("databases" in getattr(item, "fixturenames", ()) for item in session.items):
        forkserver.set_forkserver_preload(["gateway.app"])
        forkserver.ensure_running()


_running: list[tuple[pytest.FixtureDef[Any], pytest.FixtureRequest]] = []


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    made = yield
    if fixturedef.scope == "session" and fixturedef.argname in AT_WORK:
        _running.append((fixturedef, request))
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Generator[None]:
    """A gateway and its workers end with the last test of their folder, and take no time from those of others."""
    yield
    if nextitem is None:
        return
    for made in reversed(_running.copy()):
        fixturedef, request = made
        if not nextitem.nodeid.startswith((f"{fixturedef.baseid}/", f"{fixturedef.baseid}::")):
            _running.remove(made)
            fixturedef.finish(request)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that did not end says where each asyncio task stands: the traceback ends in the event loop."""
    report = yield
    if call.excinfo is not None and "from pytest-timeout" in str(call.excinfo.value):
        text = io.StringIO()
        for task in list(asyncio.tasks._all_tasks):  # type: ignore[attr-defined] # the loop does not run now
            task.print_stack(file=text)
        report.sections.append(("asyncio tasks", text.getvalue()))
    return report


@pytest.fixture(scope="session")
def openapi_document() -> dict[str, Any]:
    """What every gateway answers as its OpenAPI document, made once (it takes a second); nobody changes it."""
    return create_app(build_gateway(Settings(), engines={})).openapi()


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
