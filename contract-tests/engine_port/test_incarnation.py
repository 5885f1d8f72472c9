"""What an engine remembers: its incarnation, and the starts that ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from backends.port import WorkflowEnginePort, WorkflowState
from workers.outcome import Completed, Failed
from workers.testing.harness import EngineHarness
from workers.testing.starts import new_start
from workers.testing.waiting import VISIBILITY_PAUSE, eventually


async def test_an_incarnation_stays(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    before = await engine.get_incarnation()
    await engine.start_workflow(new_start())
    await harness.finish(await harness.receive(), Completed())
    await harness.break_connection()
    await harness.restore_connection()
    assert await engine.get_incarnation() == before


async def test_an_engine_that_lost_its_memory_is_another(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    before = await engine.get_incarnation()
    start = new_start()
    await engine.start_workflow(start)
    assert await harness.lose_memory()
    assert await engine.get_incarnation() != before
    assert await engine.get_workflow_status(start.ref) is None
    await engine.start_workflow(start)
    running = await harness.receive()
    assert running.assignment.task_id == start.ref.task_id
    await harness.finish(running, Completed())


async def test_what_ended_is_listed_if_anything_is(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    done, failed = new_start(), new_start()
    await engine.start_workflow(done)
    await harness.finish(await harness.receive(), Completed())
    await engine.start_workflow(failed)
    await harness.finish(await harness.receive(), Failed("broken", "ValueError"))
    expected = {done.ref.workflow_id: WorkflowState.COMPLETED, failed.ref.workflow_id: WorkflowState.FAILED}
    ended = await eventually(
        lambda: engine.list_ended(before),
        lambda ended: not ended or expected.keys() <= {one.workflow_id for one in ended},
        pause=VISIBILITY_PAUSE,
    )
    listed = {one.workflow_id: one.status.state for one in ended}
    assert not ended or {key: listed[key] for key in expected} == expected
    others = {one.workflow_id for one in await engine.list_ended(before, completed=False)}
    assert not ended or (failed.ref.workflow_id in others and done.ref.workflow_id not in others)


async def test_what_ended_before_is_not_listed(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start()
    await engine.start_workflow(start)
    await harness.finish(await harness.receive(), Completed())
    ended = await engine.list_ended(datetime.now(UTC) + timedelta(minutes=5))
    assert start.ref.workflow_id not in {one.workflow_id for one in ended}
