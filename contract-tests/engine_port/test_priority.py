"""Priority, for engines that know it."""

from __future__ import annotations

import pytest

from backends.port import Capability, WorkflowEnginePort
from workers.outcome import Completed
from workers.testing.harness import EngineHarness
from workers.testing.starts import new_start


@pytest.mark.needs(Capability.PRIORITY)
async def test_the_urgent_comes_first(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    starts = [new_start(priority=priority) for priority in (5, 3, 1)]
    for start in starts:
        await engine.start_workflow(start)
    taken = []
    for _ in starts:
        running = await harness.take()
        taken.append(running.assignment.task_id)
        await harness.finish(running, Completed())
    assert taken == [start.ref.task_id for start in reversed(starts)]
