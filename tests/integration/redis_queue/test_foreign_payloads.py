"""What is no task is set aside, and neither stops the queue nor shows up in a log."""

from __future__ import annotations

import base64
import hashlib
import json
import logging

import pytest
from redis.asyncio import Redis

from backends.redis_queue import wire
from backends.redis_queue.engine import RedisQueueEngine
from workers.testing.redis_worker import StartWorker
from workers.testing.starts import new_start
from workers.testing.waiting import eventually

_SECRET = "secret words"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (_SECRET.encode(), "not JSON"),
        (b"\xff\xfe" + _SECRET.encode(), "not UTF-8"),
        (json.dumps([_SECRET]).encode(), "not a JSON object"),
        (json.dumps({"task_type": "t", "content": _SECRET}).encode(), "task_id is missing"),
        (json.dumps({"task_id": {"a": 1}, "task_type": "t"}).encode(), "task_id is not a string"),
        (json.dumps({"task_id": "i", "content": _SECRET}).encode(), "task_type is missing"),
        (b"[" * 50_000, "nested too deeply"),
        (b"", "not JSON"),
    ],
    ids=["text", "bytes", "list", "no-id", "id-type", "no-type", "deep", "empty"],
)
async def test_it_is_set_aside_and_the_queue_goes_on(
    engine: RedisQueueEngine,
    redis: Redis,
    start_worker: StartWorker,
    caplog: pytest.LogCaptureFixture,
    payload: bytes,
    reason: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    await redis.sadd("queue:active_groups", "g")
    await redis.rpush("queue:group:g", payload)
    start = new_start(group_id="g")
    await engine.start_workflow(start)
    worker = await start_worker()
    assert (await worker.run_next()).task_id == start.ref.task_id
    entry = json.loads(await redis.lindex(wire.DEAD, 0))
    assert entry["reason"] == reason
    assert entry["group"] == "g"
    assert entry["bytes"] == len(payload)
    assert base64.b64decode(entry["payload"]) == payload
    assert entry["at"] > 1_700_000_000
    assert reason in caplog.text
    assert _SECRET not in caplog.text


async def test_a_payload_beyond_the_limit_is_never_read_whole(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    huge = json.dumps({"task_id": "i", "task_type": "t", "content": "x" * 200_000}).encode()
    await redis.sadd("queue:active_groups", "g")
    await redis.rpush("queue:group:g", huge)
    start = new_start(group_id="g")
    await engine.start_workflow(start)
    worker = await start_worker(max_payload_bytes=100_000)
    assert (await worker.run_next()).task_id == start.ref.task_id
    entry = json.loads(await redis.lindex(wire.DEAD, 0))
    place = hashlib.sha1(huge, usedforsecurity=False).hexdigest()
    assert entry["reason"] == f"too large; whole: HGET taskgate:dead:large {place}"
    assert entry["bytes"] == len(huge)
    assert await redis.hget(wire.DEAD_LARGE, place) == huge
    assert base64.b64decode(entry["payload"]) == huge[: 64 * 1024]


async def test_a_group_whose_name_is_no_text(engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker) -> None:
    await redis.sadd("queue:active_groups", b"\xff")
    await redis.rpush(b"queue:group:\xff", json.dumps({"task_id": "i", "task_type": "t"}))
    await start_worker()
    await eventually(lambda: redis.llen(wire.DEAD), lambda count: count == 1)
    entry = json.loads(await redis.lindex(wire.DEAD, 0))
    assert (entry["reason"], entry["group"]) == ("the name of the group is not UTF-8", "\\xff")
    assert await redis.keys("lock:*") == []


async def test_a_key_that_is_no_list_blocks_nobody(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    await redis.sadd("queue:active_groups", "odd")
    await redis.set("queue:group:odd", "not a list")
    worker = await start_worker()
    start = new_start(group_id="g")
    await engine.start_workflow(start)
    assert (await worker.run_next()).task_id == start.ref.task_id


async def test_nothing_makes_room_in_the_dead_list(redis: Redis, start_worker: StartWorker) -> None:
    await redis.rpush(wire.DEAD, *["{}"] * 10_005)
    await redis.sadd("queue:active_groups", "g")
    await redis.rpush("queue:group:g", "no json")
    await start_worker()
    await eventually(lambda: redis.llen(wire.DEAD), lambda count: count == 10_006)
    assert json.loads(await redis.lindex(wire.DEAD, -1))["reason"] == "not JSON"
