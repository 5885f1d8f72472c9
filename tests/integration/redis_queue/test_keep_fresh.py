"""What waits for long does not look stalled to legacy recovery loops when it starts (contract R4)."""

from __future__ import annotations

import json
import secrets
import time
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from backends.port import WorkflowRef, WorkflowStart
from backends.redis_queue import freshness, wire
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


@pytest.mark.parametrize("trace_last", [False, True])
async def test_a_payload_with_a_trace_is_renewed_too(engine: RedisQueueEngine, redis: Redis, trace_last: bool) -> None:
    group = secrets.token_hex(6)
    trace = {name: f"00-{'1' * 32}-{'2' * 16}-01" for name in ("traceparent", "created")}
    ref = WorkflowRef(secrets.token_hex(8), 3, group, "add_episode")
    await engine.start_workflow(WorkflowStart(ref, {"tags": []}, timedelta(seconds=600), trace=trace))
    await age(redis, group, 500)
    before = json.loads(await redis.lindex(f"queue:group:{group}", 0))
    if trace_last:  # such payloads were pushed once
        before["dispatch_trace"] = before.pop("dispatch_trace")
        await redis.lset(f"queue:group:{group}", 0, json.dumps(before))
    assert await engine.keep_fresh() >= 1
    raw = await redis.lindex(f"queue:group:{group}", 0)
    after = json.loads(raw)
    assert time.time() - after["timestamp"] < 60
    assert list(after) == list(before)
    assert {**after, "timestamp": 0} == {**before, "timestamp": 0}
    assert (wire.decode(raw).epoch, wire.decode(raw).trace) == (3, trace)


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


async def test_a_long_walk_goes_on_with_the_next_call(
    engine: RedisQueueEngine, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freshness, "_PAGES", 1)
    refs = [WorkflowRef(secrets.token_hex(8), 1, "g", "add_episode") for _ in range(500)]
    await redis.rpush("queue:group:g", *[wire.encode(ref, {}, now=1.5) for ref in refs])
    await redis.sadd("queue:active_groups", "g")
    assert [await engine.keep_fresh() for _ in range(4)] == [200, 200, 100, 0]
    times = [json.loads(payload)["timestamp"] for payload in await redis.lrange("queue:group:g", 0, -1)]
    assert min(times) > time.time() - 60
