"""Results, for engines that keep them."""

from __future__ import annotations

import asyncio

import pytest

from backends.errors import EngineError, WorkflowNotFound
from backends.port import Capability, WorkflowEnginePort
from workers.outcome import Completed, Failed
from workers.testing.harness import EngineHarness
from workers.testing.starts import new_start

pytestmark = pytest.mark.needs(Capability.RESULT)


@pytest.mark.parametrize("result", [None, {"communities_count": 3, "edges_count": 0}, {"text": "ü🙂", "deep": [{}]}])
async def test_a_result_can_be_had_later(
    harness: EngineHarness, engine: WorkflowEnginePort, result: dict[str, object] | None
) -> None:
    start = new_start()
    await engine.start_workflow(start)
    await harness.finish(await harness.receive(), Completed(result))
    assert await engine.get_workflow_result(start.ref) == result


async def test_a_result_can_be_waited_for(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start()
    await engine.start_workflow(start)
    running = await harness.receive()
    waiting = asyncio.create_task(engine.get_workflow_result(start.ref))
    await harness.finish(running, Completed({"n": 1}))
    assert await asyncio.wait_for(waiting, 20) == {"n": 1}


async def test_a_failure_is_raised(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start()
    await engine.start_workflow(start)
    await harness.finish(await harness.receive(), Failed("the graph is on fire", "RuntimeError"))
    with pytest.raises(EngineError, match="the graph is on fire"):
        await engine.get_workflow_result(start.ref)


async def test_an_unknown_start_has_none(engine: WorkflowEnginePort) -> None:
    with pytest.raises(WorkflowNotFound):
        await engine.get_workflow_result(new_start().ref)
