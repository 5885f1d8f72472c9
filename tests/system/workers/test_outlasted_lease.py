"""PostgreSQL is away for longer than the leases of workers, which live: what they ran is run again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import EmbeddedStack
from gateway.tasks.queries.task_row import Status

pytestmark = pytest.mark.parametrize("backend", ["redis", "temporal"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def own_database(postgres: EmbeddedStack) -> str:
    return postgres.database_url


@pytest.fixture(scope="module")
def lease_seconds() -> float:
    """Long enough that a worker which loses it has time to cancel what it runs before it is killed."""
    return 8.0


async def test_its_task_runs_again(fleet: Any, postgres: EmbeddedStack, tmp_path: Path) -> None:
    task_id = await fleet.submit("wait_for_word", word=str(tmp_path / "word"))
    await fleet.started(task_id)
    server = postgres.part("postgres")
    await server.kill()
    await fleet.noted(task_id, "start", "cancelled")
    await server.start()
    await fleet.started(task_id, times=2)
    (tmp_path / "word").touch()
    assert (await fleet.ended(task_id)).status == Status.COMPLETED
    assert await fleet.attempts(task_id) == ["lost", "completed"]
    assert [event.event for event in fleet.journal(task_id)] == ["start", "cancelled", "start", "end"]
