"""PostgreSQL, where the leases are, is restarted: no healthy work is lost, or run twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deploy.local.pytest_stack import StackFactory
from deploy.local.stack import EmbeddedStack
from gateway.schema.migrate import create_legacy_tables, migrate
from gateway.status.task_row import Status

pytestmark = pytest.mark.parametrize("backend", ["redis"], indirect=True, scope="module")


@pytest_asyncio.fixture(scope="module")
async def stack(stack_factory: StackFactory) -> EmbeddedStack:
    return await stack_factory(("postgres",))


@pytest_asyncio.fixture(scope="module")
async def own_database(stack: EmbeddedStack) -> str:
    await create_legacy_tables(stack.database_url)
    await migrate(stack.database_url)
    return stack.database_url


@pytest.mark.parametrize("crash", [False, True], ids=["orderly", "crash"])
async def test_what_runs_goes_on(fleet: Any, stack: EmbeddedStack, tmp_path: Path, crash: bool) -> None:
    task_id = await fleet.submit("wait_for_word", word=str(tmp_path / "word"))
    await fleet.started(task_id)
    postgres = stack.part("postgres")
    await (postgres.kill() if crash else postgres.stop())
    await postgres.start()
    await fleet.whole()
    (tmp_path / "word").touch()
    assert (await fleet.ended(task_id)).status == Status.COMPLETED
    assert await fleet.attempts(task_id) == ["completed"]
