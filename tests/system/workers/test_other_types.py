"""Workers with other plug-ins beside each other on Redis, as a deployment makes them: no task is lost by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from gateway.tasks.queries.task_row import Status

pytestmark = pytest.mark.parametrize("backend", ["redis"], indirect=True, scope="module")


@pytest_asyncio.fixture(scope="module")
async def plain(fleet: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """A worker without the plug-in. Of the two with it one is left."""
    *_, leaving = fleet.workers
    await leaving.end()
    environment = {name: value for name, value in fleet.environment.items() if name != "TASKGATE_HANDLERS"}
    worker = type(leaving)(["--backend", "redis"], environment, tmp_path_factory.mktemp("plain") / "ready")
    await worker.start()
    yield worker
    await worker.end()


async def test_what_only_the_other_can_run_is_left_to_it(fleet: Any, plain: Any) -> None:
    task_ids = [await fleet.submit("sleep", seconds=0.2) for _ in range(12)]
    for task_id in task_ids:
        assert (await fleet.ended(task_id)).status == Status.COMPLETED
        assert await fleet.attempts(task_id) == ["completed"]


async def test_a_type_that_nobody_has_for_a_while_is_waited_for(fleet: Any, plain: Any) -> None:
    """What a rolling deployment looks like: the last worker with the type goes before the next one comes."""
    worker = fleet.workers[0]
    await worker.end()
    task_ids = [await fleet.submit("sleep", seconds=0.1) for _ in range(3)]
    await worker.start()
    for task_id in task_ids:
        assert (await fleet.ended(task_id)).status == Status.COMPLETED
