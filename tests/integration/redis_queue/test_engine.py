"""The engine's own promises beyond those of every engine (`contract-tests/engine_port`)."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from backends.errors import EngineError, EngineUnavailable, StartUncertain
from backends.port import EndedWorkflow, WorkflowState, WorkflowStatus
from backends.redis_queue import wire
from backends.redis_queue.engine import KEEP_ENDED, KEEP_WAITING, RedisQueueEngine
from workers.testing.proxy import FaultyProxy
from workers.testing.starts import new_start, next_epoch


async def test_starts_at_the_same_moment_are_one_push(engine: RedisQueueEngine, redis: Redis) -> None:
    start = new_start(group_id="g")
    await asyncio.gather(*(engine.start_workflow(start) for _ in range(50)))
    assert await redis.llen("queue:group:g") == 1


async def test_a_start_that_was_cancelled_before_it_came_pushes_nothing(engine: RedisQueueEngine, redis: Redis) -> None:
    start = new_start(group_id="g")
    assert not await engine.cancel_workflow(start.ref, "Task stopped by user")
    await engine.start_workflow(start)
    assert not await redis.exists("queue:group:g", "queue:active_groups")
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert (status.state, status.error) == (WorkflowState.CANCELLED, "Task stopped by user")
    await engine.start_workflow(next_epoch(start))
    assert await redis.llen("queue:group:g") == 1, "the tombstone is that start's alone"


async def test_a_start_that_comes_while_it_is_cancelled_pushes_nothing(engine: RedisQueueEngine, redis: Redis) -> None:
    """A gateway that dies in the midst of a cancellation leaves this."""
    start = new_start(group_id="g")
    await redis.hset(wire.START + start.ref.workflow_id, "cancel", "Task stopped by user")
    await engine.start_workflow(start)
    assert not await redis.exists("queue:group:g")


async def test_a_start_that_ended_long_ago_is_listed_as_ended_when_it_comes_again(
    engine: RedisQueueEngine, redis: Redis
) -> None:
    """Nothing is pushed, so whoever waits for its end would wait for ever."""
    start, other, began = new_start(), new_start(), datetime.now(UTC)
    for one in (start, other):
        await engine.start_workflow(one)
        await engine.cancel_workflow(one.ref, "stopped")
        await redis.zadd(wire.ENDED, {one.ref.workflow_id: 1.0})
    assert await engine.list_ended(began) == []
    await engine.start_workflow(start)
    status = WorkflowStatus(WorkflowState.CANCELLED, "stopped")
    assert await engine.list_ended(began) == [EndedWorkflow(start.ref.workflow_id, status)]
    assert not await redis.exists(f"queue:group:{start.ref.group_id}")


async def test_markers_do_not_stay_for_ever(engine: RedisQueueEngine, redis: Redis) -> None:
    start = new_start()
    key = wire.START + start.ref.workflow_id
    await engine.start_workflow(start)
    assert KEEP_WAITING.total_seconds() - 60 < await redis.ttl(key) <= KEEP_WAITING.total_seconds()
    await engine.cancel_workflow(start.ref, "stopped")
    assert KEEP_ENDED.total_seconds() - 60 < await redis.ttl(key) <= KEEP_ENDED.total_seconds()


async def test_a_copy_that_a_legacy_recovery_made_is_cancelled_too(engine: RedisQueueEngine, redis: Redis) -> None:
    start = new_start(group_id="g")
    await engine.start_workflow(start)
    copy = {"task_type": start.ref.task_type, "task_id": start.ref.task_id, "timestamp": time.time()}
    await redis.rpush("queue:group:g", json.dumps(copy))
    assert await engine.cancel_workflow(start.ref, "stopped")
    assert await redis.llen("queue:group:g") == 0


async def test_a_text_that_mentions_a_task_is_not_the_task(engine: RedisQueueEngine, redis: Redis) -> None:
    start = new_start(group_id="g")
    mention = new_start({"content": f'about "{start.ref.task_id}"'}, group_id="g")
    await engine.start_workflow(mention)
    await redis.rpush("queue:group:g", f"not json but {start.ref.task_id}", f'["{start.ref.task_id}"]')
    assert await engine.get_workflow_status(start.ref) is None
    assert not await engine.cancel_workflow(start.ref, "stopped")
    assert await redis.llen("queue:group:g") == 3


async def test_a_task_id_of_any_text_is_found(engine: RedisQueueEngine, redis: Redis) -> None:
    start = new_start(group_id="grüppe 🙂")
    start = replace(start, ref=replace(start.ref, task_id='ü"\\\n'))
    await engine.start_workflow(start)
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert status.state is WorkflowState.QUEUED
    assert await engine.cancel_workflow(start.ref, "gestoppt \ud800")
    assert not await redis.exists("queue:group:grüppe 🙂")


async def test_one_of_thousands_is_found(engine: RedisQueueEngine, redis: Redis) -> None:
    starts = [new_start(group_id="g") for _ in range(2000)]
    await asyncio.gather(*(engine.start_workflow(start) for start in starts))
    status = await engine.get_workflow_status(starts[1234].ref)
    assert status is not None
    assert status.state is WorkflowState.QUEUED
    assert await engine.get_workflow_status(new_start(group_id="g").ref) is None
    assert await engine.cancel_workflow(starts[1234].ref, "stopped")
    assert await redis.llen("queue:group:g") == 1999


async def test_a_legacy_workers_task_is_requeued_once(engine: RedisQueueEngine, redis: Redis) -> None:
    start = new_start(group_id="g")
    await engine.start_workflow(start)
    await redis.rpoplpush("queue:group:g", wire.PROCESSING)
    await redis.set("lock:queue:group:g", "host-01234567", ex=3600)
    assert await engine.requeue_workflow(start.ref, "lost")
    assert await engine.requeue_workflow(start.ref, "lost")
    assert await redis.llen("queue:group:g") == 1
    assert not await redis.exists("lock:queue:group:g", wire.PROCESSING)
    assert await redis.smembers("queue:active_groups") == {b"g"}


async def test_a_running_task_that_was_cancelled_is_not_requeued(engine: RedisQueueEngine, redis: Redis) -> None:
    start = new_start(group_id="g")
    await engine.start_workflow(start)
    await redis.rpoplpush("queue:group:g", wire.PROCESSING)
    assert not await engine.cancel_workflow(start.ref, "Task stopped by user")
    assert not await engine.requeue_workflow(start.ref, "lost")
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert (status.state, status.error) == (WorkflowState.CANCELLED, "Task stopped by user")


async def test_a_lost_answer_is_uncertain(engine: RedisQueueEngine, redis: Redis, proxy: FaultyProxy) -> None:
    distant = RedisQueueEngine(f"redis://{proxy.host}:{proxy.port}/0", timeout=0.3)
    start = new_start(group_id="g")
    await distant.check_health()
    proxy.swallow_answers()
    with pytest.raises(StartUncertain):
        await distant.start_workflow(start)
    await proxy.restore()
    assert await redis.llen("queue:group:g") == 1, "it had arrived"
    await distant.start_workflow(start)
    assert await redis.llen("queue:group:g") == 1
    await distant.close()


async def test_a_full_redis_is_unavailable_and_took_nothing(engine: RedisQueueEngine, redis: Redis) -> None:
    await redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(EngineUnavailable):
            await engine.start_workflow(new_start(group_id="g"))
    finally:
        await redis.config_set("maxmemory", "0")
    assert await redis.keys("*") == []


async def test_a_redis_that_wants_a_password_is_unavailable(engine: RedisQueueEngine, redis: Redis) -> None:
    await redis.config_set("requirepass", "sesame")
    try:
        with pytest.raises(EngineUnavailable):
            await engine.start_workflow(new_start(group_id="g"))
    finally:
        await redis.execute_command("AUTH", "sesame")
        await redis.config_set("requirepass", "")
    assert await redis.keys("*") == []


async def test_a_key_of_the_wrong_type_is_an_error_of_its_own(engine: RedisQueueEngine, redis: Redis) -> None:
    await redis.set("queue:group:g", "not a list")
    start = new_start(group_id="g")
    with pytest.raises(EngineError) as raised:
        await engine.start_workflow(start)
    assert raised.type is EngineError
    assert not await redis.exists(wire.START + start.ref.workflow_id), "nothing half-written"


async def test_scripts_are_sent_again_to_a_redis_that_forgot_them(engine: RedisQueueEngine, redis: Redis) -> None:
    await engine.start_workflow(new_start(group_id="g"))
    await redis.script_flush()
    await engine.start_workflow(new_start(group_id="g"))
    assert await redis.llen("queue:group:g") == 2
