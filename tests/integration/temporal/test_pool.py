"""The worker pool on a real server: many queues, few slots, tenants that come and go."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from backends.temporal import names
from workers.outcome import Assignment, Completed, Outcome
from workers.testing.scripted import ScriptedRunner
from workers.testing.temporal_bench import TemporalBench


class Counting:
    """Completes everything, and remembers how much ran at once."""

    def __init__(self, expected: int) -> None:
        self.done: list[str] = []
        self.all_done = asyncio.Event()
        self.most = 0
        self._running = 0
        self._expected = expected

    async def run(self, assignment: Assignment) -> Outcome:
        self._running += 1
        self.most = max(self.most, self._running)
        await asyncio.sleep(0)  # lets others in, so that the count means something
        self._running -= 1
        self.done.append(assignment.task_id)
        if len(self.done) == self._expected:
            self.all_done.set()
        return Completed()


async def test_more_queues_than_slots_are_all_served(temporal: TemporalBench) -> None:
    types = [f"type{number}" for number in range(10)]
    engine, runner = temporal.engine(), Counting(20)
    await temporal.serve(runner, task_types=types, slots=2)
    starts = [temporal.start(kind) for kind in types for _ in range(2)]
    await asyncio.gather(*(engine.start_workflow(start) for start in starts))
    async with asyncio.timeout(60):
        await runner.all_done.wait()
    assert sorted(runner.done) == sorted(start.ref.task_id for start in starts)
    assert runner.most <= 2


async def test_slots_are_shared_by_all_queues(temporal: TemporalBench) -> None:
    """What arrives beyond the slots waits, or goes back; it is never run beside them."""
    engine, runner = temporal.engine(), ScriptedRunner()
    types = ["one", "two", "three"]
    starts = [temporal.start(kind) for kind in types for _ in range(3)]
    await asyncio.gather(*(engine.start_workflow(start) for start in starts))
    await temporal.serve(runner, task_types=types, slots=2)
    running = [await runner.next(), await runner.next()]
    taken = {one.assignment.task_id for one in running}
    while running:
        assert len(runner.seen) - len(taken) + len(running) <= 2
        running.pop(0).finish(Completed())
        if len(taken) < len(starts):
            running.append(await runner.next())
            taken.add(running[-1].assignment.task_id)
    assert taken == {start.ref.task_id for start in starts}


async def test_tenants_come_and_go_without_a_restart(temporal: TemporalBench) -> None:
    engine, runner = temporal.engine(), ScriptedRunner()
    first, second = f"{temporal.tenant}a", f"{temporal.tenant}b"

    async def started(tenant: str) -> str:
        start = temporal.start()
        await engine.start_workflow(replace(start, queue=names.tenant_queue(tenant, start.ref.task_type)))
        return start.ref.task_id

    pool = await temporal.serve(runner, tenants=[first])
    running = await started(first)
    held = await runner.next()
    assert held.assignment.task_id == running
    pool.set_tenants([second])
    other = await started(second)
    offered = await runner.next()
    assert offered.assignment.task_id == other
    offered.finish(Completed())
    # The tenant that left comes back while a task of it still runs; what waited for it is taken then.
    waited = await started(first)
    pool.set_tenants([first, second])
    again = await runner.next()
    assert again.assignment.task_id == waited
    assert not held.cancelled.is_set()
    held.finish(Completed())
    again.finish(Completed())


async def test_queues_of_a_pool(temporal: TemporalBench) -> None:
    pool = await temporal.serve(
        ScriptedRunner(), task_types=["x", "y"], tenants=["acme"], shared=True, ready=False, address="127.0.0.1:1"
    )
    assert pool.queues == {"shared-x", "shared-y", "shared-unregistered", "tenant-acme-x", "tenant-acme-y"}


async def test_a_server_that_is_not_there_yet_is_waited_for(temporal: TemporalBench) -> None:
    wire = await temporal.proxy()
    await wire.refuse()
    engine, start, runner = temporal.engine(), temporal.start(), ScriptedRunner()
    await engine.start_workflow(start)
    pool = await temporal.serve(runner, address=f"{wire.host}:{wire.port}", ready=False)
    await wire.restore()
    (await runner.next()).finish(Completed({"n": 1}))
    await pool.wait_ready()
    assert await engine.get_workflow_result(start.ref) == {"n": 1}


async def test_a_server_that_goes_away_is_waited_for(temporal: TemporalBench) -> None:
    wire = await temporal.proxy()
    engine, runner = temporal.engine(), ScriptedRunner()
    before, after = temporal.start(), temporal.start()
    await temporal.serve(runner, address=f"{wire.host}:{wire.port}")
    await engine.start_workflow(before)
    running = await runner.next()
    await wire.refuse()
    await engine.start_workflow(after)
    running.finish(Completed({"n": 1}))  # reported when the way is open again
    await wire.restore()
    (await runner.next()).finish(Completed())
    assert await engine.get_workflow_result(before.ref) == {"n": 1}


async def test_a_pool_leaves_while_temporal_is_away(temporal: TemporalBench) -> None:
    """The SDK asks again and again, until it is told that its polls have ended."""
    wire = await temporal.proxy()
    engine, start, runner = temporal.engine(), temporal.start(), ScriptedRunner()
    pool = await temporal.serve(runner, address=f"{wire.host}:{wire.port}")
    await engine.start_workflow(start)
    running = await runner.next()
    await wire.refuse()
    running.finish(Completed())
    pool.stop(drain=timedelta())
    async with asyncio.timeout(30):
        await temporal.runs[pool]


async def test_a_pool_lets_its_tasks_end(temporal: TemporalBench) -> None:
    engine, start, runner = temporal.engine(), temporal.start(), ScriptedRunner()
    await engine.start_workflow(start)
    pool = await temporal.serve(runner)
    running = await runner.next()
    pool.stop(drain=timedelta(seconds=60))
    running.finish(Completed({"n": 1}))
    assert await engine.get_workflow_result(start.ref) == {"n": 1}


async def test_what_a_pool_cannot_end_runs_on_another(temporal: TemporalBench) -> None:
    engine, start = temporal.engine(), temporal.start()
    first, second = ScriptedRunner(), ScriptedRunner()
    await engine.start_workflow(start)
    pool = await temporal.serve(first)
    running = await first.next()
    pool.stop(drain=timedelta())
    await temporal.serve(second)
    # What the first one's last poll still brought it comes back after a heartbeat's timeout, 30 s.
    again = await second.next(within=90)
    assert running.cancelled.is_set()
    assert again.assignment.task_id == start.ref.task_id
    again.finish(Completed())


async def test_priorities_and_fairness_hold_behind_a_backlog(temporal: TemporalBench) -> None:
    """A small tenant's task, and an urgent one, pass the backlog of a large tenant."""
    engine = temporal.engine()
    backlog = [temporal.start(fairness_key="large") for _ in range(60)]
    await asyncio.gather(*(engine.start_workflow(start) for start in backlog))
    small, urgent = temporal.start(fairness_key="small"), temporal.start(fairness_key="large", priority=1)
    await engine.start_workflow(small)
    await engine.start_workflow(urgent)
    runner = Counting(62)
    await temporal.serve(runner, slots=1)
    async with asyncio.timeout(60):
        await runner.all_done.wait()
    # A queue has several partitions, each with an order of its own, so neither need be the very first.
    assert runner.done.index(small.ref.task_id) < 45
    assert runner.done.index(urgent.ref.task_id) < 45
