"""Signals, or the plain word that there are none."""

from __future__ import annotations

import pytest

from backends.errors import CapabilityMissing, WorkflowNotFound
from backends.port import Capability, WorkflowEnginePort
from workers.outcome import Completed
from workers.testing.harness import EngineHarness
from workers.testing.starts import new_start


async def test_an_engine_without_signals_says_so(engine: WorkflowEnginePort) -> None:
    if Capability.SIGNAL in engine.capabilities:
        pytest.skip(f"{engine.name} delivers signals")
    start = new_start()
    await engine.start_workflow(start)
    with pytest.raises(CapabilityMissing):
        await engine.signal_workflow(start.ref, "pause", {})


@pytest.mark.needs(Capability.SIGNAL)
async def test_a_signal_needs_a_workflow(engine: WorkflowEnginePort) -> None:
    with pytest.raises(WorkflowNotFound):
        await engine.signal_workflow(new_start().ref, "pause", {})


@pytest.mark.needs(Capability.SIGNAL)
async def test_a_signal_to_a_running_workflow_is_taken(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start()
    await engine.start_workflow(start)
    running = await harness.receive()
    await engine.signal_workflow(start.ref, "pause", {"why": "maintenance"})
    await harness.finish(running, Completed())
    with pytest.raises((WorkflowNotFound, CapabilityMissing)):
        await engine.signal_workflow(start.ref, "pause", {})
