"""A worker that dies leaves payloads and locks; whoever knows that it is dead brings them back (R6)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from backends.port import WorkflowRef, WorkflowState
from backends.redis_queue.engine import RedisQueueEngine
from workers.outcome import Completed
from workers.testing.redis_worker import RedisWorkerBench, StartWorker
from workers.testing.starts import new_start
from workers.testing.waiting import eventually


async def test_all_that_a_dead_worker_held_comes_back(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    starts = [new_start(group_id=f"group-{n}") for n in range(3)] + [new_start(group_id="group-0")]
    for start in starts:
        await engine.start_workflow(start)
    dead = await start_worker(slots=3)
    for _ in range(3):
        await dead.next()
    await dead.kill()
    assert await engine.list_workers() == {dead.worker_id}
    assert await engine.release_worker(dead.worker_id) == 3
    assert await engine.list_workers() == frozenset()
    assert await redis.keys("lock:*") == []
    assert await redis.keys("taskgate:processing:*") == []
    first = json.loads(await redis.lindex("queue:group:group-0", 0))
    assert first["task_id"] == starts[0].ref.task_id, "it is the next of its group"
    living = await start_worker()
    assert {(await living.run_next()).task_id for _ in starts} == {start.ref.task_id for start in starts}
    assert await engine.release_worker(dead.worker_id) == 0


async def test_a_rebuild_comes_back_to_its_group(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    """R5: its payload does not say which group it is of."""
    start = new_start({"task_group_id": "g"}, group_id="g", task_type="rebuild_communities")
    await engine.start_workflow(start)
    dead = await start_worker()
    await dead.next()
    await dead.kill()
    assert await engine.release_worker(dead.worker_id) == 1
    assert await redis.llen("queue:group:g") == 1


async def test_what_was_cancelled_meanwhile_does_not_come_back(
    engine: RedisQueueEngine, start_worker: StartWorker
) -> None:
    start = new_start()
    await engine.start_workflow(start)
    dead = await start_worker()
    await dead.next()
    await dead.kill()
    await engine.cancel_workflow(start.ref, "Task stopped by user")
    assert await engine.release_worker(dead.worker_id) == 0
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert status.state is WorkflowState.CANCELLED


async def test_what_was_adopted_and_cancelled_meanwhile_does_not_come_back(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    """A legacy producer pushed it, so its payload names no start."""
    await redis.rpush("queue:group:g", json.dumps({"task_id": "t", "task_type": "probe"}))
    await redis.sadd("queue:active_groups", "g")
    dead = await start_worker()
    await dead.next()
    await dead.kill()
    await engine.cancel_workflow(WorkflowRef("t", 1, "g", "probe"), "Task stopped by user")
    assert await engine.release_worker(dead.worker_id) == 0
    assert await redis.llen("queue:group:g") == 0
    assert await redis.keys("lock:*") == []


async def test_the_locks_of_others_are_left_alone(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    first, second = new_start(group_id="one"), new_start(group_id="two")
    await engine.start_workflow(first)
    dead = await start_worker(slots=1)
    await dead.next()
    await engine.start_workflow(second)
    living = await start_worker(slots=1)
    running = await living.next()
    await dead.kill()
    await redis.set("lock:queue:group:one", "host-01234567", ex=3600)
    await engine.release_worker(dead.worker_id)
    assert await redis.get("lock:queue:group:one") == b"host-01234567"
    assert await redis.get("lock:queue:group:two") == living.worker_id.encode()
    running.finish(Completed())


async def test_a_worker_given_up_too_early_ends_nothing_of_the_next_one(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    """It hung, was taken for dead, and comes back to its senses while another runs its task."""
    start = new_start(group_id="g")
    await engine.start_workflow(start)
    hung = await start_worker()
    late = await hung.next()
    next_worker = await start_worker()
    # What the reaper does, but with the first worker asleep for the moment between.
    hung.ask_to_stop()
    assert await engine.requeue_workflow(start.ref, "its worker was lost")
    running = await next_worker.next()
    late.finish(Completed({"from": "the hung one"}))
    await hung.stop()
    assert await redis.get("lock:queue:group:g") == next_worker.worker_id.encode()
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert status.state is WorkflowState.RUNNING
    running.finish(Completed({"from": "the next one"}))
    assert await engine.get_workflow_result(start.ref) == {"from": "the next one"}


async def test_a_lost_legacy_workers_task_is_taken_from_no_worker_of_the_gateway(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    """The first answer was lost; a copy beside this run would be a legacy worker's, who claims nothing."""
    start = new_start(group_id="g")
    await engine.start_workflow(start)
    await redis.rpoplpush("queue:group:g", "queue:processing:global")
    assert await engine.requeue_workflow(start.ref, "it lasted too long", held_by="")
    worker = await start_worker()
    running = await worker.next()
    assert await engine.requeue_workflow(start.ref, "it lasted too long", held_by="")
    assert not await redis.exists("queue:group:g")
    running.finish(Completed({"from": "the gateway's"}))
    assert await engine.get_workflow_result(start.ref) == {"from": "the gateway's"}


async def test_the_same_worker_may_take_the_task_again(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    """The lock's value is the worker's id, so the end of the first run must not free what the second one holds."""
    start = new_start(group_id="g")
    await engine.start_workflow(start)
    worker = await start_worker(slots=2)
    first = await worker.next()
    assert await engine.requeue_workflow(start.ref, "taken for lost")
    second = await worker.next()
    first.finish(Completed({"run": 1}))
    await eventually(_running(worker), lambda running: running == 1)
    assert await redis.get("lock:queue:group:g") == worker.worker_id.encode()
    second.finish(Completed({"run": 2}))
    await worker.stop()
    assert not await redis.exists("lock:queue:group:g")


def _running(worker: RedisWorkerBench) -> Callable[[], Awaitable[int]]:
    async def look() -> int:
        return worker.worker.running

    return look
