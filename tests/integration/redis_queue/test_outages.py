"""Redis goes away, comes back, loses answers or its memory: tasks that run go on, and none is lost or doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from backends.errors import AnswerLost, EngineUnavailable
from backends.port import WorkflowStart, WorkflowState, WorkflowStatus
from backends.redis_queue import wire
from backends.redis_queue.engine import RedisQueueEngine
from backends.redis_queue.link import Link
from deploy.local.pytest_stack import StackFactory
from workers.outcome import Completed
from workers.redis_queue import wake_listener
from workers.redis_queue.inbox import Inbox
from workers.testing.proxy import FaultyProxy
from workers.testing.redis_worker import RedisWorkerBench, StartWorker
from workers.testing.starts import new_start
from workers.testing.waiting import eventually


async def test_a_worker_may_be_started_before_redis(
    engine: RedisQueueEngine, redis: Redis, proxy: FaultyProxy, caplog: pytest.LogCaptureFixture
) -> None:
    await proxy.refuse()
    bench = RedisWorkerBench(f"redis://{proxy.host}:{proxy.port}/0")
    start = new_start()
    await engine.start_workflow(start)
    starting = asyncio.create_task(bench.start())
    await eventually(_logged(caplog, "Redis is away"), bool)
    await proxy.restore()
    await starting
    assert (await bench.run_next()).task_id == start.ref.task_id
    assert caplog.text.count("Redis is away") == 1
    await bench.close()


async def test_an_end_is_reported_when_redis_is_back(
    engine: RedisQueueEngine, redis: Redis, proxy: FaultyProxy, start_worker: StartWorker
) -> None:
    start, later = new_start(group_id="g"), new_start(group_id="g")
    await engine.start_workflow(start)
    worker = await start_worker(f"redis://{proxy.host}:{proxy.port}/0", timeout=0.5)
    running = await worker.next()
    await proxy.refuse()
    running.finish(Completed({"n": 1}))
    await engine.start_workflow(later)
    assert not running.cancelled.is_set()
    await proxy.restore()
    assert await engine.get_workflow_result(start.ref) == {"n": 1}
    assert (await worker.run_next()).task_id == later.ref.task_id


async def test_a_payload_whose_answer_was_lost_is_run_once(
    engine: RedisQueueEngine, redis: Redis, proxy: FaultyProxy, start_worker: StartWorker
) -> None:
    link = Link(f"redis://{proxy.host}:{proxy.port}/0", timeout=0.3)
    inbox = Inbox(link, "worker-1", lock_seconds=60, max_payload_bytes=1000)
    assert await inbox.receive() is None
    start = new_start(group_id="g")
    await engine.start_workflow(start)
    proxy.swallow_answers()
    with pytest.raises(AnswerLost):
        await inbox.receive()
    assert await redis.llen("taskgate:processing:worker-1:g") == 1, "handed out, and nobody knows"
    await link.close()

    worker = await start_worker(worker_id="worker-1")
    assert (await worker.run_next()).task_id == start.ref.task_id
    assert await engine.get_workflow_result(start.ref) is None
    assert len(worker.runner.seen) == 1


async def test_a_worker_that_lost_sight_of_redis_looks_what_it_was_given(
    engine: RedisQueueEngine, redis: Redis, proxy: FaultyProxy, start_worker: StartWorker
) -> None:
    worker = await start_worker(f"redis://{proxy.host}:{proxy.port}/0", timeout=0.3)
    start = new_start(group_id="g")
    await proxy.refuse()
    await engine.start_workflow(start)
    # What an answer leaves behind that was lost with the connection.
    await redis.lmove("queue:group:g", f"taskgate:processing:{worker.worker_id}:g", "LEFT", "RIGHT")
    await redis.sadd(f"taskgate:held:{worker.worker_id}", "g")
    await redis.set("lock:queue:group:g", worker.worker_id, ex=300)
    await proxy.restore()
    assert (await worker.run_next()).task_id == start.ref.task_id


async def test_connections_that_vanish_without_a_word(
    engine: RedisQueueEngine,
    redis: Redis,
    proxy: FaultyProxy,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wake_listener, "SILENT_SECONDS", 0.2)
    worker = await start_worker(f"redis://{proxy.host}:{proxy.port}/0", timeout=0.5)
    await eventually(lambda: redis.pubsub_numsub(wire.WAKE), lambda found: found[0][1] == 1)
    first, second = new_start(group_id="g"), new_start(group_id="g")
    await engine.start_workflow(first)
    running = await worker.next()
    proxy.vanish()
    running.finish(Completed({"n": 1}))
    await engine.start_workflow(second)
    async with asyncio.timeout(10):
        assert await engine.get_workflow_result(first.ref) == {"n": 1}
        assert (await worker.run_next()).task_id == second.ref.task_id
        # The server knows nothing of the old one's end.
        await eventually(lambda: redis.pubsub_numsub(wire.WAKE), lambda found: found[0][1] == 2)
    assert len(worker.runner.seen) == 2


async def test_told_to_stop_without_redis_it_ends_all_the_same(
    engine: RedisQueueEngine, redis: Redis, proxy: FaultyProxy, start_worker: StartWorker
) -> None:
    start = new_start(group_id="g")
    await engine.start_workflow(start)
    worker = await start_worker(f"redis://{proxy.host}:{proxy.port}/0", timeout=0.3)
    running = await worker.next()
    await proxy.refuse()
    running.finish(Completed())
    await worker.stop()
    assert await engine.release_worker(worker.worker_id) == 1, "whoever buries the worker finds it"


async def test_what_ended_without_redis_does_not_wait_again_when_its_worker_ends(
    engine: RedisQueueEngine,
    redis: Redis,
    proxy: FaultyProxy,
    start_worker: StartWorker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its run is over, as PostgreSQL knows: a legacy worker that finds it in its group runs it a second time."""
    over, other = new_start(group_id="a"), new_start(group_id="b")
    await engine.start_workflow(over)
    worker = await start_worker(f"redis://{proxy.host}:{proxy.port}/0", timeout=1.0)
    first = await worker.next()
    await engine.start_workflow(other)
    second = await worker.next()
    await proxy.refuse()
    worker.ask_to_stop()
    first.finish(Completed())
    await eventually(_logged(caplog, "could not be reported"), bool)
    await proxy.restore()
    second.finish(Completed())
    await worker.stop()
    assert await redis.llen("queue:group:a") == 0
    assert await redis.llen("queue:group:b") == 0
    assert await engine.list_held(worker.worker_id) == [over.ref.workflow_id], "the release knows how it ended"
    assert await redis.get("lock:queue:group:b") is None
    ended = {over.ref: WorkflowStatus(WorkflowState.COMPLETED)}
    assert await engine.release_worker(worker.worker_id, ended) == 0
    assert await engine.list_workers() == frozenset()
    assert await redis.keys("lock:*") == []


async def test_what_a_leaving_worker_was_given_in_a_lost_answer_waits_again(
    engine: RedisQueueEngine,
    redis: Redis,
    proxy: FaultyProxy,
    start_worker: StartWorker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Beside an end that could not be reported: it never ran."""
    over, lost = new_start(group_id="a"), new_start(group_id="b")
    await engine.start_workflow(over)
    worker = await start_worker(f"redis://{proxy.host}:{proxy.port}/0", timeout=1.0)
    running, other = await worker.next(), new_start(group_id="c")
    await engine.start_workflow(other)
    last = await worker.next()
    await proxy.refuse()
    await engine.start_workflow(lost)
    await redis.lmove("queue:group:b", f"taskgate:processing:{worker.worker_id}:b", "LEFT", "RIGHT")
    await redis.sadd(f"taskgate:held:{worker.worker_id}", "b")
    worker.ask_to_stop()
    running.finish(Completed())
    await eventually(_logged(caplog, "could not be reported"), bool)
    await proxy.restore()
    last.finish(Completed())
    await worker.stop()
    assert [await redis.llen(f"queue:group:{group}") for group in "abc"] == [0, 1, 0]


async def test_a_flushed_redis_does_not_disturb_what_runs(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    start, other = new_start(group_id="g"), new_start(group_id="g")
    await engine.start_workflow(start)
    worker = await start_worker()
    running = await worker.next()
    await redis.flushall()
    await engine.start_workflow(other)
    second = await worker.next()
    assert second.assignment.task_id == other.ref.task_id
    running.finish(Completed())
    second.finish(Completed({"n": 2}))
    assert await engine.get_workflow_result(other.ref) == {"n": 2}
    await worker.stop()
    assert await redis.keys("lock:*") == []


async def test_redis_is_killed_and_started_again(stack_factory: StackFactory) -> None:
    stack = await stack_factory(("redis",), durable=True)
    part = stack.part("redis")
    engine = RedisQueueEngine(stack.redis_url, timeout=1)
    bench = RedisWorkerBench(stack.redis_url, slots=1, timeout=1)
    await bench.start()
    running_start, waiting = new_start(group_id="g"), new_start(group_id="g")
    await engine.start_workflow(running_start)
    await engine.start_workflow(waiting)
    before = await engine.get_incarnation()
    running = await bench.next()
    async with Redis.from_url(stack.redis_url) as client:
        await client.bgrewriteaof()
        await eventually(lambda: client.info("persistence"), lambda info: not info["aof_rewrite_in_progress"])

    await part.kill()
    with pytest.raises(EngineUnavailable):
        await engine.check_health()
    await part.start()
    await eventually(_state(engine, running_start), lambda state: state is WorkflowState.RUNNING)
    assert await engine.get_incarnation() != before, "the last writes may be gone, so somebody must look"
    assert not running.cancelled.is_set()
    running.finish(Completed({"n": 1}))
    assert await engine.get_workflow_result(running_start.ref) == {"n": 1}
    assert (await bench.run_next()).task_id == waiting.ref.task_id
    await bench.stop()
    await engine.close()


def _logged(caplog: pytest.LogCaptureFixture, words: str) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return words in caplog.text

    return look


def _state(engine: RedisQueueEngine, start: WorkflowStart) -> Callable[[], Awaitable[WorkflowState | None]]:
    async def look() -> WorkflowState | None:
        try:
            status = await engine.get_workflow_status(start.ref)
        except EngineUnavailable:
            return None
        return status.state if status else None

    return look
