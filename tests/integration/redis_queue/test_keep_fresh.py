"""What waits for long does not look stalled to legacy recovery loops when it starts (contract R4)."""

from __future__ import annotations

import json
import secrets
import time
from datetime import timedelta

from redis.asyncio import Redis

from backends.port import WorkflowRef, WorkflowStart
from backends.redis_queue import wire
from backends.redis_queue.engine import RedisQueueEngine


async def age(redis: Redis, group: str, seconds: float) -> None:
    """Make the group's only payload look as if it had been pushed so long ago."""
    payload = json.loads(await redis.lindex(f"queue:group:{group}", 0))
    payload["timestamp"] = time.time() - seconds
    await redis.lset(f"queue:group:{group}", 0, json.dumps(payload))


async def test_only_the_time_of_an_old_payload_changes(engine: RedisQueueEngine, redis: Redis) -> None:
    group = secrets.token_hex(6)
    payload = {
        "content": 'a "timestamp": 1.5, "dispatch_epoch": 1} ü\n',
        "name": "n",
        "metadata": {"tags": [], "n": None},
    }
    ref = WorkflowRef(secrets.token_hex(8), 3, group, "add_episode")
    await engine.start_workflow(WorkflowStart(ref, payload, timedelta(seconds=600)))
    await age(redis, group, 500)
    before = json.loads(await redis.lindex(f"queue:group:{group}", 0))
    assert await engine.keep_fresh() >= 1
    raw = await redis.lindex(f"queue:group:{group}", 0)
    after = json.loads(raw)
    assert time.time() - after["timestamp"] < 60
    assert {**after, "timestamp": 0} == {**before, "timestamp": 0}
    assert wire.decode(raw).epoch == 3


async def test_young_and_foreign_payloads_stay_as_they_are(engine: RedisQueueEngine, redis: Redis) -> None:
    group = secrets.token_hex(6)
    foreign = json.dumps({"task_type": "add_episode", "task_id": "x", "timestamp": time.time() - 500})
    await redis.sadd("queue:active_groups", group)
    await redis.rpush(f"queue:group:{group}", foreign, "not JSON")
    ref = WorkflowRef(secrets.token_hex(8), 1, group, "add_episode")
    await engine.start_workflow(WorkflowStart(ref, {}, timedelta(seconds=600)))
    before = await redis.lrange(f"queue:group:{group}", 0, -1)
    await engine.keep_fresh()
    assert await redis.lrange(f"queue:group:{group}", 0, -1) == before


async def test_no_call_keeps_redis_for_long(engine: RedisQueueEngine, redis: Redis) -> None:
    """Two thousand payloads of 200 kB: the longest call of the quickest of five rounds."""
    group, content = secrets.token_hex(6), "x" * 200_000
    ref = WorkflowRef(secrets.token_hex(8), 1, group, "add_episode")
    await engine.start_workflow(WorkflowStart(ref, {"content": content}, timedelta(seconds=600)))
    await age(redis, group, 500)
    payload = await redis.lindex(f"queue:group:{group}", 0)
    for _ in range(20):
        await redis.rpush(f"queue:group:{group}", *[payload] * 100)
    await redis.config_set("slowlog-log-slower-than", 1000)
    longest = []
    for _ in range(5):
        await redis.slowlog_reset()
        await engine.keep_fresh()
        longest.append(max([entry["duration"] for entry in await redis.slowlog_get(128)], default=0))
    await redis.delete(f"queue:group:{group}")
    assert min(longest) <= 20_000  # microseconds
