"""PostgreSQL, where the leases are, is restarted: no healthy work is lost, or run twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import EmbeddedStack
from gateway.tasks.queries.task_row import Status

pytestmark = pytest.mark.parametrize("backend", ["redis"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def own_database(postgres: EmbeddedStack) -> str:
    return postgres.database_url


@pytest.mark.parametrize("crash", [False, True], ids=["orderly", "crash"])
async def test_what_runs_goes_on(fleet: Any, postgres: EmbeddedStack, tmp_path: Path, crash: bool) -> None:
    task_id = await fleet.submit("wait_for_word", word=str(tmp_path / "word"))
    await fleet.started(task_id)
    server = postgres.part("postgres")
    await (server.kill() if crash else server.stop())
    await server.start()
    await fleet.whole()
    (tmp_path / "word").touch()
    assert (await fleet.ended(task_id)).status == Status.COMPLETED
    assert await fleet.attempts(task_id) == ["completed"]
