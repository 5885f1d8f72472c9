"""The bytes that the gateway pushes (L5)."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from backends.port import WorkflowRef
from backends.redis_queue.engine import RedisQueueEngine
from legacy_system import EXAMPLES, LegacyProducer
from workers.testing.starts import new_start


@pytest.mark.parametrize("task_type", sorted(EXAMPLES))
async def test_a_push_is_what_a_legacy_producer_pushes(engine: RedisQueueEngine, redis: Redis, task_type: str) -> None:
    ref = WorkflowRef("9b1c-id", 1, "g", task_type)
    before = time.time()
    await engine.start_workflow(replace(new_start(), ref=ref, payload=EXAMPLES[task_type]))

    (raw,) = await redis.lrange("queue:group:g", 0, -1)
    task = json.loads(raw)
    legacy = LegacyProducer.body(task_type, "g", "9b1c-id")
    assert raw.decode() == json.dumps(task), "written as json.dumps writes it"
    assert task.keys() == {*legacy, "dispatch_epoch"}
    assert {**task, "timestamp": 0} == {**legacy, "timestamp": 0, "dispatch_epoch": 1}
    assert isinstance(task["timestamp"], float)
    assert before <= task["timestamp"] <= time.time()
    assert await redis.smembers("queue:active_groups") == {b"g"}


async def test_communities_are_rebuilt_without_a_group_id(engine: RedisQueueEngine, redis: Redis) -> None:
    """The type's payload names its group in `task_group_id`, whatever else the caller gives."""
    ref = WorkflowRef("id", 1, "project-1", "rebuild_communities")
    await engine.start_workflow(replace(new_start(), ref=ref, payload={"group_id": "project-1"}))
    task = json.loads((await redis.lrange("queue:group:project-1", 0, -1))[0])
    assert task["task_group_id"] == "project-1"
    assert "group_id" not in task


async def test_pushes_go_to_the_right_end(engine: RedisQueueEngine, producer: LegacyProducer, redis: Redis) -> None:
    await producer.push("g", json.dumps({"task_id": "first"}))
    await engine.start_workflow(new_start(group_id="g"))
    await producer.push("g", json.dumps({"task_id": "last"}))
    ids = [json.loads(raw)["task_id"] for raw in await redis.lrange("queue:group:g", 0, -1)]
    assert (ids[0], ids[2]) == ("first", "last")


async def test_a_later_start_carries_its_number(engine: RedisQueueEngine, redis: Redis) -> None:
    start = new_start(group_id="g")
    await engine.start_workflow(replace(start, ref=replace(start.ref, epoch=7)))
    assert json.loads((await redis.lrange("queue:group:g", 0, -1))[0])["dispatch_epoch"] == 7


async def test_the_wires_own_keys_cannot_be_overwritten(engine: RedisQueueEngine, redis: Redis) -> None:
    forged = {"task_id": "other", "task_type": "other", "timestamp": "never", "dispatch_epoch": 99}
    start = new_start(forged, group_id="g")
    await engine.start_workflow(start)
    task = json.loads((await redis.lrange("queue:group:g", 0, -1))[0])
    assert (task["task_id"], task["task_type"], task["dispatch_epoch"]) == (start.ref.task_id, start.ref.task_type, 1)
    assert isinstance(task["timestamp"], float)


async def test_legacy_keys_are_all_that_legacy_code_meets(engine: RedisQueueEngine, redis: Redis) -> None:
    await engine.start_workflow(new_start(group_id="g"))
    legacy = {key.decode() for key in await redis.keys("*") if not key.startswith(b"taskgate:")}
    assert legacy == {"queue:active_groups", "queue:group:g"}
