"""The worker: which task next, how many at once, whose lock."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from backends.port import WorkflowState
from backends.redis_queue.engine import RedisQueueEngine
from backends.redis_queue.link import Link
from workers.outcome import FENCED, Assignment, Completed, Failed, Kept, Outcome, Refused, Stopped
from workers.redis_queue.inbox import Inbox
from workers.redis_queue.other_types import OtherTypes
from workers.redis_queue.worker import RedisQueueWorker
from workers.testing.redis_worker import StartWorker
from workers.testing.starts import new_start
from workers.testing.waiting import eventually


async def _start(engine: RedisQueueEngine, *groups: str) -> list[str]:
    starts = [new_start(group_id=group) for group in groups]
    for start in starts:
        await engine.start_workflow(start)
    return [start.ref.task_id for start in starts]


async def test_a_group_is_served_in_order_one_at_a_time(engine: RedisQueueEngine, start_worker: StartWorker) -> None:
    ids = await _start(engine, *["g"] * 5)
    worker = await start_worker(slots=4)
    for task_id in ids:
        running = await worker.next()
        assert running.assignment.task_id == task_id
        assert worker.worker.running == 1
        running.finish(Completed())


async def test_groups_run_beside_each_other_up_to_the_slots(
    engine: RedisQueueEngine, start_worker: StartWorker
) -> None:
    await _start(engine, *(f"group-{n}" for n in range(6)))
    worker = await start_worker(slots=4)
    running = [await worker.next() for _ in range(4)]
    assert worker.worker.running == 4
    running[0].finish(Completed())
    running.append(await worker.next())
    assert worker.worker.running == 4
    assert len({task.assignment.group_id for task in running}) == 5


async def test_two_workers_share_the_groups(engine: RedisQueueEngine, start_worker: StartWorker) -> None:
    workers = [await start_worker(slots=1) for _ in range(2)]
    await _start(engine, "one", "two")
    first, second = [await worker.next() for worker in workers]
    assert {first.assignment.group_id, second.assignment.group_id} == {"one", "two"}


async def test_a_busy_group_does_not_stand_before_the_others(
    engine: RedisQueueEngine, start_worker: StartWorker
) -> None:
    """With one slot and a backlog in each group, no group may be served alone."""
    await _start(engine, *(f"group-{n % 4}" for n in range(160)))
    worker = await start_worker(slots=1)
    served = Counter([(await worker.run_next()).group_id for _ in range(80)])
    assert len(served) == 4
    assert min(served.values()) >= 5


async def test_one_free_group_is_found_among_many_locked(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    ids = await _start(engine, *(f"group-{n}" for n in range(200)))
    for number in range(200):
        if number != 123:
            await redis.set(f"lock:queue:group:group-{number}", "host-01234567", ex=3600)
    worker = await start_worker()
    assert (await worker.next()).assignment.task_id == ids[123]


async def test_a_lock_is_prolonged_while_its_task_runs(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    await _start(engine, "g")
    worker = await start_worker(lock_seconds=3)
    running = await worker.next()
    await redis.pexpire("lock:queue:group:g", 1500)
    await eventually(lambda: redis.pttl("lock:queue:group:g"), lambda left: left > 2000)
    running.finish(Completed())


async def test_a_lock_that_somebody_else_holds_by_now_is_left_alone(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    """R3."""
    await _start(engine, "g")
    worker = await start_worker()
    running = await worker.next()
    await redis.set("lock:queue:group:g", "host-01234567", ex=3600)
    running.finish(Completed())
    await worker.stop()
    assert await redis.get("lock:queue:group:g") == b"host-01234567"


async def test_a_late_prolongation_takes_no_lock_for_a_task_that_ended(redis: Redis, redis_server: str) -> None:
    link = Link(redis_server, timeout=5)
    inbox = Inbox(link, "worker-1", lock_seconds=60, max_payload_bytes=1000)
    await redis.rpush("queue:group:g", json.dumps({"task_id": "i", "task_type": "t"}))
    await redis.sadd("queue:active_groups", "g")
    offer = await inbox.receive()
    assert offer is not None
    await redis.delete("lock:queue:group:g")
    assert await inbox.renew([b"g"]) == []
    assert await redis.get("lock:queue:group:g") == b"worker-1", "it ran out too early"
    await inbox.drop(offer, release=True)
    assert await inbox.renew([b"g"]) == []
    assert not await redis.exists("lock:queue:group:g")
    await link.close()


async def test_a_task_refused_for_now_holds_its_group_but_no_slot(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    held, _, other = await _start(engine, "g", "g", "other")
    worker = await start_worker(slots=1)
    running = {}
    for _ in range(2):
        task = await worker.next()
        running[task.assignment.task_id] = task
        task.finish(Refused("held", retry_in=timedelta(hours=1)) if task.assignment.task_id == held else Completed())
    assert running.keys() == {held, other}, "the second of the group does not overtake the first"
    assert await redis.exists("lock:queue:group:g")
    await worker.stop()
    assert await redis.llen("queue:group:g") == 2
    assert json.loads(await redis.lindex("queue:group:g", 0))["task_id"] == held


async def test_a_failed_attempt_ends_its_start(engine: RedisQueueEngine, start_worker: StartWorker) -> None:
    """The retry is a start of its own, which the dispatcher makes when it is due."""
    start = new_start(group_id="g")
    await engine.start_workflow(start)
    worker = await start_worker()
    await worker.run_next(Failed("broken", "ValueError", retry_in=timedelta(seconds=1)))
    await worker.stop()
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert (status.state, status.error) == (WorkflowState.FAILED, "broken")


async def test_a_run_that_lost_its_claim_does_not_end_its_start(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    """Only PostgreSQL knows what becomes of the task. An end that Redis lists would be merged as that of the task."""
    began = datetime.now(UTC) - timedelta(seconds=5)
    start = new_start(group_id="g")
    await engine.start_workflow(start)
    worker = await start_worker()
    await worker.run_next(Stopped(FENCED))
    await worker.stop()
    assert start.ref.workflow_id not in {ended.workflow_id for ended in await engine.list_ended(began)}
    assert await engine.get_workflow_status(start.ref) is None
    # Nobody runs it without a claim, and the tasks behind it do not wait.
    assert await redis.llen("queue:group:g") == 0
    assert not await redis.exists("lock:queue:group:g")


async def test_what_goes_on_in_a_worker_that_ends_is_nobody_elses_until_it_has_ended(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    """Another worker would drop it, because its claim is held; a legacy worker would run it."""
    start = new_start(group_id="g")
    await engine.start_workflow(start)
    leaving = await start_worker(worker_id="leaving")
    running = await leaving.next()
    leaving.ask_to_stop()
    running.finish(Kept())
    await leaving.stop()
    assert await redis.llen("queue:group:g") == 0
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert status.state is WorkflowState.RUNNING
    assert await engine.requeue_workflow(start.ref, "its worker ended", held_by="leaving")
    await engine.release_worker("leaving")
    other = await start_worker()
    assert (await other.run_next()).task_id == start.ref.task_id


async def test_a_runner_that_breaks_does_not_take_the_queue_with_it(
    engine: RedisQueueEngine, redis: Redis, redis_server: str
) -> None:
    class Broken:
        def __init__(self) -> None:
            self.runs: list[str] = []

        async def run(self, assignment: Assignment) -> Outcome:
            self.runs.append(assignment.task_id)
            if len(self.runs) == 1:
                raise RuntimeError("a bug")
            return Completed()

    start = new_start(group_id="g")
    await engine.start_workflow(start)
    runner, stop = Broken(), asyncio.Event()
    worker = asyncio.create_task(RedisQueueWorker(redis_server, runner, "worker-1", 1).run(stop))
    assert await engine.get_workflow_result(start.ref) is None
    assert runner.runs == [start.ref.task_id] * 2
    stop.set()
    await worker


async def test_told_to_stop_it_takes_nothing_more_and_finishes_what_runs(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    first = new_start(group_id="g")
    await engine.start_workflow(first)
    worker = await start_worker()
    running = await worker.next()
    worker.ask_to_stop()
    (second,) = await _start(engine, "other")
    running.finish(Completed({"n": 1}))
    await worker.stop()
    assert await engine.get_workflow_result(first.ref) == {"n": 1}
    assert [task.task_id for task in worker.runner.seen] == [first.ref.task_id]
    assert json.loads(await redis.lindex("queue:group:other", 0))["task_id"] == second
    assert await redis.keys("taskgate:held:*") == []
    assert await engine.list_workers() == frozenset()


async def test_a_gateway_push_is_run_at_once(engine: RedisQueueEngine, start_worker: StartWorker) -> None:
    """It wakes the worker, which looks at the lists by itself only once an hour here."""
    worker = await start_worker(poll_seconds=3600)
    async with asyncio.timeout(60):
        for _ in range(20):
            await _start(engine, "g")
            await worker.run_next()


async def test_a_task_that_is_left_to_others_keeps_its_place(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    served = {"rare"}

    async def is_served(task_type: str) -> bool:
        return task_type in served

    rare, common = new_start(group_id="g", task_type="rare"), new_start(group_id="g", task_type="common")
    for start in (rare, common, other := new_start(group_id="other", task_type="common")):
        await engine.start_workflow(start)
    plain = await start_worker(other_types=OtherTypes({"common"}, is_served, grace=0.0))
    assert (await plain.run_next()).task_id == other.ref.task_id
    knowing = await start_worker()
    assert (await knowing.run_next()).task_id == rare.ref.task_id
    assert {task.task_id for task in plain.runner.seen} <= {other.ref.task_id, common.ref.task_id}


async def test_a_task_of_a_type_that_nobody_has_is_run(engine: RedisQueueEngine, start_worker: StartWorker) -> None:
    async def is_served(_: str) -> bool:
        return False

    start = new_start(task_type="unknown")
    await engine.start_workflow(start)
    worker = await start_worker(other_types=OtherTypes((), is_served, grace=0.0))
    assert (await worker.run_next(Failed("No handler", "UnknownTaskType"))).task_id == start.ref.task_id
