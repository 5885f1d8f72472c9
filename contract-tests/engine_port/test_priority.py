"""Priority, for engines that know it."""

from __future__ import annotations

import pytest

from backends.port import Capability, WorkflowEnginePort
from workers.outcome import Completed
from workers.testing.harness import EngineHarness
from workers.testing.starts import new_start

_ORDINARY, _PATIENCE = 40, 30


@pytest.mark.needs(Capability.PRIORITY)
async def test_the_urgent_overtakes(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    """Engines may keep one order per partition of a queue, so the urgent task is not always the very first."""
    for _ in range(_ORDINARY):
        await engine.start_workflow(new_start(priority=5))
    urgent = new_start(priority=1)
    await engine.start_workflow(urgent)
    for _ in range(_PATIENCE):
        running = await harness.receive()
        await harness.finish(running, Completed())
        if running.assignment.task_id == urgent.ref.task_id:
            return
    pytest.fail(f"{_PATIENCE} of {_ORDINARY} ordinary tasks came before an urgent one")
