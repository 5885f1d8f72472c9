"""What a legacy producer pushes, the gateway's worker runs."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from backends.redis_queue.engine import RedisQueueEngine
from legacy_system import EXAMPLES, LegacyProducer
from workers.outcome import Completed, Failed, Refused
from workers.testing.redis_worker import RedisWorkerBench
from workers.testing.starts import new_start
from workers.testing.waiting import eventually


async def _nothing_left(redis: Redis) -> bool:
    keys = {key.decode() for key in await redis.keys("*")}
    return not any(
        key.startswith(("queue:group:", "queue:processing", "lock:", "taskgate:processing:")) for key in keys
    )


@pytest.mark.parametrize("task_type", sorted(EXAMPLES))
async def test_each_type_arrives_as_it_was_pushed(
    worker: RedisWorkerBench, producer: LegacyProducer, redis: Redis, task_type: str
) -> None:
    await worker.start()
    task_id = await producer.submit(task_type, "g")
    given = await worker.run_next()
    assert (given.task_id, given.task_type, given.group_id, given.backend) == (task_id, task_type, "g", "redis")
    assert given.epoch is None
    body = LegacyProducer.body(task_type, "g", task_id)
    assert given.payload is not None
    assert {**given.payload, "timestamp": 0} == {**body, "timestamp": 0}
    await eventually(lambda: _nothing_left(redis), bool)


async def test_what_waited_before_the_worker_came_is_run_oldest_first(
    worker: RedisWorkerBench, producer: LegacyProducer
) -> None:
    """R1."""
    pushed = [await producer.submit("add_episode", "g") for _ in range(5)]
    await worker.start()
    assert [(await worker.run_next()).task_id for _ in pushed] == pushed


async def test_a_group_is_shared_with_the_gateways_pushes(
    worker: RedisWorkerBench, producer: LegacyProducer, engine: RedisQueueEngine
) -> None:
    first = await producer.submit("add_episode", "g")
    start = new_start(group_id="g")
    await engine.start_workflow(start)
    last = await producer.submit("add_episode", "g")
    await worker.start()
    assert [(await worker.run_next()).task_id for _ in range(3)] == [first, start.ref.task_id, last]


async def test_retries_and_recoveries_come_first(
    worker: RedisWorkerBench, producer: LegacyProducer, redis: Redis
) -> None:
    await producer.submit("add_episode", "g")
    recovered = LegacyProducer.body("add_episode", "g", "recovered")
    await redis.lpush("queue:group:g", json.dumps(recovered))
    await worker.start()
    assert (await worker.run_next()).task_id == "recovered"


async def test_a_recovered_rebuild_is_run(worker: RedisWorkerBench, producer: LegacyProducer) -> None:
    """R5: the payload names no `group_id`; the list's name does."""
    await worker.start()
    await producer.submit("rebuild_communities", "project-1")
    given = await worker.run_next()
    assert given.group_id == "project-1"
    assert given.payload is not None
    assert "group_id" not in given.payload


async def test_a_task_that_waited_for_ages_is_not_stalled(
    worker: RedisWorkerBench, producer: LegacyProducer, redis: Redis
) -> None:
    """R4: the time of enqueueing says nothing of how long a task runs."""
    body = LegacyProducer.body("add_episode", "g", "old") | {"timestamp": time.time() - 86_400}
    await producer.push("g", json.dumps(body))
    await worker.start()
    running = await worker.next()
    assert await redis.llen("queue:processing:global") == 0, "no legacy recovery loop may find it"
    running.finish(Completed())
    await eventually(lambda: _nothing_left(redis), bool)


async def test_a_type_without_handler_reaches_the_runner(worker: RedisWorkerBench, producer: LegacyProducer) -> None:
    """R7: it is the runner who fails it by name."""
    await worker.start()
    await producer.submit("no_such_type", "g")
    given = await worker.run_next(Failed("No handler for task type 'no_such_type'", "UnknownTaskType"))
    assert given.task_type == "no_such_type"


async def test_a_task_stopped_while_it_waited_is_dropped(
    worker: RedisWorkerBench, producer: LegacyProducer, redis: Redis
) -> None:
    """R9: the runner refuses the claim."""
    await worker.start()
    await producer.submit("add_episode", "g")
    await worker.run_next(Refused("stopped"))
    await eventually(lambda: _nothing_left(redis), bool)
    assert len(worker.runner.seen) == 1


async def test_a_task_that_is_refused_for_now_keeps_its_place(
    worker: RedisWorkerBench, producer: LegacyProducer
) -> None:
    first = await producer.submit("add_episode", "g")
    await producer.submit("add_episode", "g")
    await worker.start()
    await worker.run_next(Refused("held", retry_in=timedelta(milliseconds=50)))
    assert (await worker.run_next()).task_id == first


async def test_a_push_between_the_workers_look_and_its_own_sadd_is_found(
    worker: RedisWorkerBench, redis: Redis
) -> None:
    """SADD, the worker finds the group empty and forgets it, RPUSH: nobody says SADD again."""
    await worker.start()
    await redis.sadd("queue:active_groups", "g")
    await eventually(lambda: redis.scard("queue:active_groups"), lambda count: count == 0)
    await redis.rpush("queue:group:g", json.dumps(LegacyProducer.body("add_episode", "g", "late")))
    assert (await worker.run_next()).task_id == "late"


async def test_a_list_that_legacy_workers_forgot_is_found(redis: Redis, worker: RedisWorkerBench) -> None:
    await redis.rpush("queue:group:g", json.dumps(LegacyProducer.body("add_episode", "g", "forgotten")))
    await worker.start()
    assert (await worker.run_next()).task_id == "forgotten"


async def test_a_lock_of_a_legacy_worker_is_respected(
    worker: RedisWorkerBench, producer: LegacyProducer, redis: Redis
) -> None:
    await redis.set("lock:queue:group:busy", "host-01234567", nx=True, ex=3600)
    kept = await producer.submit("add_episode", "busy")
    free = await producer.submit("add_episode", "free")
    await worker.start()
    assert (await worker.run_next()).task_id == free
    await redis.delete("lock:queue:group:busy")
    assert (await worker.run_next()).task_id == kept


async def test_while_a_task_runs_its_group_is_locked_for_everybody(
    worker: RedisWorkerBench, producer: LegacyProducer, redis: Redis
) -> None:
    await worker.start()
    await producer.submit("add_episode", "g")
    running = await worker.next()
    assert not await redis.set("lock:queue:group:g", "host-01234567", nx=True, ex=3600)
    assert (await redis.get("lock:queue:group:g")).decode() == worker.worker_id
    running.finish(Completed())
    await eventually(lambda: redis.exists("lock:queue:group:g"), lambda count: count == 0)


async def test_legacy_pushes_are_found_soon(worker: RedisWorkerBench, producer: LegacyProducer) -> None:
    await worker.start()
    waits = []
    for _ in range(11):
        begun = time.perf_counter()
        await producer.submit("add_episode", "g")
        await worker.run_next()
        waits.append(time.perf_counter() - begun)
    assert min(waits) < 0.15


async def test_many_producers_at_once(worker: RedisWorkerBench, producer: LegacyProducer, redis: Redis) -> None:
    await worker.start()
    pushed = await asyncio.gather(*(producer.submit("add_episode", f"group-{n % 7}") for n in range(100)))
    ran = [(await worker.run_next()).task_id for _ in pushed]
    assert sorted(ran) == sorted(pushed)
    await eventually(lambda: _nothing_left(redis), bool)
