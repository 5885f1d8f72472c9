"""Lost: which starts the engine knows nothing of, asked for many at once."""

from __future__ import annotations

from backends.port import WorkflowEnginePort
from workers.outcome import Completed
from workers.testing.harness import EngineHarness
from workers.testing.starts import new_start, next_epoch


async def test_only_what_is_in_no_place_is_lost(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    running, ended = new_start(), new_start()
    group = running.ref.group_id
    waiting = [new_start({"content": f'"dispatch_epoch": 9}} {n}'}, group_id=group) for n in range(3)]
    await engine.start_workflow(ended)
    await harness.finish(await harness.receive(), Completed())
    await engine.start_workflow(running)
    await harness.receive()
    for start in waiting:
        await engine.start_workflow(start)
    never, later = new_start(group_id=group).ref, next_epoch(waiting[0]).ref
    asked = [running.ref, ended.ref, never, later, *(start.ref for start in waiting)]
    assert set(await engine.find_lost(asked)) == {never, later}


async def test_nothing_asked_nothing_lost(engine: WorkflowEnginePort) -> None:
    assert await engine.find_lost([]) == []
