"""The engine on a real server, beyond what the conformance suite asks of every engine."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.api.activity.v1 import ActivityExecutionInfo
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client

from backends.errors import CapabilityMissing, EngineError, StartRefused, WorkflowNotFound
from backends.port import Capability, WorkflowState
from backends.temporal import names
from workers.outcome import Completed, Failed, Stopped
from workers.testing.scripted import ScriptedRunner
from workers.testing.starts import next_epoch
from workers.testing.temporal_bench import TemporalBench
from workers.testing.waiting import VISIBILITY_PAUSE, eventually

CANCELLING = PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED


async def described(temporal: TemporalBench, workflow_id: str) -> ActivityExecutionInfo:
    client = await Client.connect(temporal.address, namespace=temporal.namespace)
    return (await client.get_activity_handle(workflow_id).describe()).raw_info


async def attempts_under_way(temporal: TemporalBench, workflow_id: str) -> list[PendingActivityState.ValueType]:
    """States of the activities that a workflow has open."""
    client = await Client.connect(temporal.address, namespace=temporal.namespace)
    raw = (await client.get_workflow_handle(workflow_id).describe()).raw_description
    return [activity.state for activity in raw.pending_activities]


async def test_a_task_is_a_standalone_activity(temporal: TemporalBench) -> None:
    start = temporal.start(priority=1, fairness_key="acme", fairness_weight=2.0)
    await temporal.engine().start_workflow(start)
    info = await described(temporal, start.ref.workflow_id)
    assert info.task_queue == start.queue
    assert info.start_to_close_timeout.ToTimedelta() > start.timeout
    assert info.heartbeat_timeout.ToTimedelta() == timedelta(seconds=30)
    assert info.schedule_to_close_timeout.ToTimedelta() == timedelta()
    assert info.retry_policy.maximum_attempts == 0
    assert (info.priority.priority_key, info.priority.fairness_key) == (1, "acme")
    assert info.priority.fairness_weight == pytest.approx(2.0)


@pytest.mark.parametrize("standalone", [True, False])
async def test_starts_made_at_once_are_one_start(temporal: TemporalBench, standalone: bool) -> None:
    engine, start, runner = temporal.engine(standalone=standalone), temporal.start(), ScriptedRunner()
    await asyncio.gather(*(engine.start_workflow(start) for _ in range(8)))
    await temporal.serve(runner)
    (await runner.next()).finish(Completed({"n": 1}))
    assert await engine.get_workflow_result(start.ref) == {"n": 1}
    await asyncio.gather(*(engine.start_workflow(start) for _ in range(8)))
    later = next_epoch(start)
    await engine.start_workflow(later)
    assert (await runner.next()).assignment.epoch == 2
    assert [seen.epoch for seen in runner.seen] == [1, 2]


@pytest.mark.parametrize("standalone", [True, False])
async def test_tasks_are_found_by_their_search_attributes(temporal: TemporalBench, standalone: bool) -> None:
    start = temporal.start(project_id="project-7", priority=2)
    await temporal.engine(standalone=standalone).start_workflow(start)
    client = await Client.connect(temporal.address, namespace=temporal.namespace)
    query = (
        f"TaskgateTenant = '{temporal.tenant}' AND TaskgateProject = 'project-7' AND TaskgateTaskType = 'add_episode'"
        f" AND TaskgateTaskId = '{start.ref.task_id}' AND TaskgatePriority = 2"
    )

    async def found() -> list[str]:
        if standalone:
            return [one.activity_id async for one in client.list_activities(query)]
        return [one.id async for one in client.list_workflows(query)]

    assert await eventually(found, pause=VISIBILITY_PAUSE) == [start.ref.workflow_id]


async def test_what_ended_is_listed_with_its_state(temporal: TemporalBench) -> None:
    engine, runner = temporal.engine(), ScriptedRunner()
    workflows = temporal.engine(standalone=False)
    since = datetime.now(UTC) - timedelta(seconds=1)
    good, bad, gone, wrapped = (temporal.start() for _ in range(4))
    await engine.start_workflow(gone)
    await engine.cancel_workflow(gone.ref, "stopped")
    dag = temporal.start(workflow=names.RUN_DAG)
    await engine.start_workflow(dag)
    await engine.cancel_workflow(dag.ref, "stopped")
    await temporal.serve(runner)
    for one, outcome in ((good, Completed()), (bad, Failed("boom", "ValueError"))):
        await engine.start_workflow(one)
        (await runner.next()).finish(outcome)
    await workflows.start_workflow(wrapped)
    (await runner.next()).finish(Completed())
    expected = {
        good.ref.workflow_id: WorkflowState.COMPLETED,
        bad.ref.workflow_id: WorkflowState.FAILED,
        gone.ref.workflow_id: WorkflowState.CANCELLED,
        wrapped.ref.workflow_id: WorkflowState.COMPLETED,
        dag.ref.workflow_id: WorkflowState.TERMINATED,
    }

    async def ended() -> dict[str, WorkflowState]:
        listed = await engine.list_ended(since)
        return {one.workflow_id: one.status.state for one in listed if one.workflow_id in expected}

    found = await eventually(ended, lambda found: found.keys() == expected.keys(), pause=VISIBILITY_PAUSE)
    assert found == expected
    assert await engine.list_ended(datetime.now(UTC) + timedelta(hours=1)) == []


async def test_what_is_open_is_counted(temporal: TemporalBench) -> None:
    """Of both shapes, and of what others started in the namespace before."""
    engine, workflows = temporal.engine(), temporal.engine(standalone=False)
    before = await engine.count_open()
    assert before is not None
    for one in (engine, engine, engine, workflows, workflows):
        await one.start_workflow(temporal.start())

    async def counted() -> int:
        return await engine.count_open() or 0

    await eventually(counted, lambda found: found >= before + 5, pause=VISIBILITY_PAUSE)


@pytest.mark.parametrize("standalone", [True, False])
async def test_a_running_task_is_reached_by_a_cancel(temporal: TemporalBench, standalone: bool) -> None:
    engine = temporal.engine(standalone=standalone, heartbeat=timedelta(seconds=3))
    start, runner = temporal.start(), ScriptedRunner()
    await engine.start_workflow(start)
    await temporal.serve(runner)
    running = await runner.next()
    assert await engine.cancel_workflow(start.ref, "Task stopped by user")
    assert await engine.cancel_workflow(start.ref, "Task stopped by user")
    async with asyncio.timeout(30):
        await running.cancelled.wait()
    status = await eventually(
        lambda: engine.get_workflow_status(start.ref), lambda status: status is not None and status.state.is_terminal
    )
    assert status is not None
    assert status.state is WorkflowState.CANCELLED
    assert not await engine.cancel_workflow(start.ref, "again")


@pytest.mark.parametrize("standalone", [True, False])
async def test_a_task_that_nobody_runs_is_gone_at_once(temporal: TemporalBench, standalone: bool) -> None:
    """Also without any worker that could carry out a cancellation."""
    engine, start = temporal.engine(standalone=standalone), temporal.start()
    await engine.start_workflow(start)
    assert await engine.cancel_workflow(start.ref, "Task stopped by user")
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert (status.state, status.error) == (WorkflowState.CANCELLED, "Task stopped by user")


@pytest.mark.parametrize("standalone", [True, False])
async def test_a_silent_worker_loses_its_task_in_the_end(temporal: TemporalBench, standalone: bool) -> None:
    """The last net: nobody noticed, nobody requeued."""
    engine = temporal.engine(standalone=standalone, heartbeat=timedelta(seconds=1))
    start, first, second = temporal.start(), ScriptedRunner(), ScriptedRunner()
    wire = await temporal.proxy()
    await engine.start_workflow(start)
    await temporal.serve(first, address=f"{wire.host}:{wire.port}")
    await first.next()
    await wire.refuse()
    await temporal.serve(second)
    again = await second.next()
    assert again.assignment.task_id == start.ref.task_id
    assert again.assignment.engine_attempt > 1
    again.finish(Completed({"n": 2}))
    assert await engine.get_workflow_result(start.ref) == {"n": 2}
    await wire.restore()


@pytest.mark.parametrize("standalone", [True, False])
async def test_a_lost_task_that_was_told_to_stop_does_not_run_again(temporal: TemporalBench, standalone: bool) -> None:
    engine, start, runner = temporal.engine(standalone=standalone), temporal.start(), ScriptedRunner()
    wire = await temporal.proxy()
    await engine.start_workflow(start)
    await temporal.serve(runner, address=f"{wire.host}:{wire.port}")
    await runner.next()
    await wire.refuse()
    await engine.cancel_workflow(start.ref, "stopped")
    if not standalone:
        # The workflow hands the cancel on to its activity when somebody runs workflow tasks.
        await temporal.serve(ScriptedRunner(), tenants=[])
        await eventually(
            lambda: attempts_under_way(temporal, start.ref.workflow_id), lambda found: found == [CANCELLING]
        )
    assert not await engine.requeue_workflow(start.ref, "its worker was lost")
    status = await eventually(
        lambda: engine.get_workflow_status(start.ref), lambda status: status is not None and status.state.is_terminal
    )
    assert status is not None
    assert status.state is WorkflowState.CANCELLED
    await wire.restore()


@pytest.mark.parametrize("standalone", [True, False])
async def test_either_engine_finds_what_the_other_started(temporal: TemporalBench, standalone: bool) -> None:
    """A setting, or a server, may change while tasks wait."""
    maker, finder = temporal.engine(standalone=standalone), temporal.engine(standalone=not standalone)
    start, runner = temporal.start(), ScriptedRunner()
    await maker.start_workflow(start)
    status = await finder.get_workflow_status(start.ref)
    assert status is not None
    assert status.state is WorkflowState.QUEUED
    assert await finder.requeue_workflow(start.ref, "waits anyway")
    assert await finder.find_lost([start.ref, next_epoch(start).ref]) == [next_epoch(start).ref]
    await temporal.serve(runner)
    (await runner.next()).finish(Failed("boom", "ValueError"))
    with pytest.raises(EngineError, match="boom"):
        await finder.get_workflow_result(start.ref)
    assert not await finder.cancel_workflow(start.ref, "too late")


async def test_the_server_is_asked_for_standalone_activities(temporal: TemporalBench) -> None:
    start = temporal.start()
    await temporal.engine(standalone=None).start_workflow(start)
    assert (await described(temporal, start.ref.workflow_id)).activity_id == start.ref.workflow_id


async def test_an_attempt_is_repeated_when_the_worker_says(temporal: TemporalBench) -> None:
    engine, start, runner = temporal.engine(), temporal.start(), ScriptedRunner()
    await engine.start_workflow(start)
    await temporal.serve(runner)
    for attempt in range(1, 6):
        running = await runner.next()
        assert running.assignment.engine_attempt == attempt
        running.finish(Failed("boom", "ValueError", timedelta(milliseconds=1)))
    (await runner.next()).finish(Stopped("stopped"))
    with pytest.raises(EngineError, match="stopped"):
        await engine.get_workflow_result(start.ref)


async def test_a_payload_beyond_the_limit_travels_by_reference(temporal: TemporalBench) -> None:
    engine, runner = temporal.engine(inline_payload_bytes=1000), ScriptedRunner()
    small = temporal.start(payload={"content": "x" * 900})
    large = temporal.start(payload={"content": "x" * 3_000_000})
    await temporal.serve(runner)
    for start, travels in ((small, True), (large, False)):
        await engine.start_workflow(start)
        running = await runner.next()
        assert running.assignment.payload == (start.payload if travels else None)
        running.finish(Completed())


async def test_a_start_that_can_never_succeed_is_refused(temporal: TemporalBench) -> None:
    start = temporal.start()
    with pytest.raises(StartRefused):
        await temporal.engine().start_workflow(replace(start, queue="q" * 2000))


async def test_signals(temporal: TemporalBench) -> None:
    activities, workflows = temporal.engine(), temporal.engine(standalone=False)
    assert Capability.SIGNAL not in activities.capabilities
    assert Capability.SIGNAL in workflows.capabilities
    alone, wrapped = temporal.start(), temporal.start()
    await activities.start_workflow(alone)
    await workflows.start_workflow(wrapped)
    with pytest.raises(CapabilityMissing):
        await activities.signal_workflow(alone.ref, "hello", {"a": 1})
    await workflows.signal_workflow(wrapped.ref, "hello", {"a": 1})
    with pytest.raises(WorkflowNotFound):
        await workflows.signal_workflow(temporal.start().ref, "hello", None)
