"""Fairness, for engines that know it: one tenant's crowd does not stand before another's task."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.port import Capability, WorkflowEnginePort
from workers.outcome import Completed
from workers.testing.harness import EngineHarness
from workers.testing.starts import new_start

_CROWD, _PATIENCE = 40, 30


@pytest.mark.needs(Capability.FAIRNESS)
async def test_a_crowd_does_not_stand_before_others(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    """Engines may hand some tasks out before they look, and keep one order per partition of a queue."""
    for _ in range(_CROWD):
        await engine.start_workflow(replace(new_start(), fairness_key="acme"))
    other = replace(new_start(), tenant_id="globex", fairness_key="globex")
    await engine.start_workflow(other)
    for _ in range(_PATIENCE):
        running = await harness.receive()
        await harness.finish(running, Completed())
        if running.assignment.task_id == other.ref.task_id:
            return
    pytest.fail(f"{_PATIENCE} of {_CROWD} tasks of a crowd came before another tenant's only one")
