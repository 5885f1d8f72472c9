"""What all lists of a real Redis hold, whoever pushed it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from backends.port import Place, Stock
from backends.redis_queue import dead, wire
from backends.redis_queue.engine import RedisQueueEngine
from workers.testing.starts import new_start

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def payload(group: str = "p1", *, at: object = AT.timestamp(), **more: object) -> str:
    facts = {"task_type": "add_episode", "task_id": "t", "timestamp": at, "group_id": group, **more}
    return json.dumps(facts)


async def test_an_empty_redis_holds_nothing(engine: RedisQueueEngine, redis: Redis) -> None:
    await redis.flushall()
    assert await engine.take_stock() == []


async def test_every_place_is_counted(engine: RedisQueueEngine, redis: Redis) -> None:
    await redis.flushall()
    await engine.start_workflow(new_start(group_id="p1"))
    # In a group that the active set does not name, by a producer.
    for age in (60, 0):
        at = (AT - timedelta(seconds=age)).timestamp()
        await redis.rpush(f"{wire.GROUP}p2", payload("p2", tenant_id="acme", project_id="p2", at=at))
    await redis.rpush(f"{wire.GROUP}p2", payload("p2", tenant_id="globex"))
    await redis.rpush(wire.PROCESSING, payload("p3", tenant_id="acme"))
    # A worker that nobody remembers.
    await redis.rpush(f"{wire.OWN}gone:p4", payload("p4"))
    await redis.hset(wire.COLLECTED, "entry", f"2:p5{payload('p5', project_id='p5')}")
    await redis.rpush(wire.DEAD, dead.entry("not JSON", b"p6", b"{", 1))
    found = await engine.take_stock()
    aside = next(one for one in found if one.place is Place.SET_ASIDE)
    assert aside.last_at is not None
    assert datetime.now(UTC) - aside.last_at < timedelta(seconds=60)
    episode = "add_episode"
    assert sorted((one for one in found if one is not aside), key=lambda one: (one.place, str(one.tenant_id))) == [
        Stock(Place.HELD, True, 1, "p4", episode, last_at=AT),
        Stock(Place.HELD_ELSEWHERE, True, 1, "p3", episode, "acme", last_at=AT),
        Stock(Place.COLLECTED, True, 1, "p5", episode, None, "p5", AT),
        Stock(Place.WAITING, False, 1),
        Stock(Place.WAITING, True, 2, "p2", episode, "acme", "p2", AT),
        Stock(Place.WAITING, True, 1, "p2", episode, "globex", last_at=AT),
    ]
    assert (aside.group_id, aside.tasks) == ("p6", 1)


async def test_what_is_no_task_is_counted_too(engine: RedisQueueEngine, redis: Redis) -> None:
    await redis.flushall()
    for raw in (b"\xff", b"[]", b"{", payload(at=1e300).encode(), payload(at="noon").encode(), payload(at=-1).encode()):
        await redis.rpush(f"{wire.GROUP}odd", raw)
    found = await engine.take_stock()
    assert {(one.task_type, one.tasks, one.last_at) for one in found} == {("", 3, None), ("add_episode", 3, None)}


async def test_more_than_a_page(engine: RedisQueueEngine, redis: Redis) -> None:
    await redis.flushall()
    await redis.rpush(f"{wire.GROUP}p2", *[payload("p2", tenant_id="acme")] * 999)
    for number in range(500):
        await redis.rpush(f"{wire.GROUP}many-{number}", payload(f"many-{number}", tenant_id="acme"))
    found = await engine.take_stock()
    assert {one.group_id: one.tasks for one in found} == {"p2": 999} | {f"many-{number}": 1 for number in range(500)}


@pytest.mark.parametrize("trace_last", [False, True])
async def test_what_the_gateway_pushed_with_a_trace_is_its_own(
    engine: RedisQueueEngine, redis: Redis, trace_last: bool
) -> None:
    """Even if the script cannot read it."""
    await redis.flushall()
    start = new_start({"content": "\ud800"}, group_id="p1")
    raw = wire.encode(start.ref, start.payload, trace={"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"})
    if trace_last:  # such payloads were pushed once
        message = json.loads(raw)
        message["dispatch_trace"] = message.pop("dispatch_trace")
        raw = json.dumps(message).encode()
    await redis.rpush(f"{wire.GROUP}p1", raw)
    assert await engine.take_stock() == [Stock(Place.WAITING, False, 1)]
    assert await engine.find_lost([start.ref]) == []
