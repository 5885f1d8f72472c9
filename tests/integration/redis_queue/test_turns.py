"""Whose task the worker takes next: priority, then fairness among tenants. Legacy code sees nothing of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from backends.redis_queue import wire
from backends.redis_queue.engine import RedisQueueEngine
from backends.redis_queue.link import Link
from workers.redis_queue.inbox import Inbox
from workers.testing.starts import new_start


class Turns:
    """A worker that ends each task at once."""

    def __init__(self, engine: RedisQueueEngine, redis: Redis, inbox: Inbox) -> None:
        self.engine = engine
        self.redis = redis
        self.inbox = inbox
        self.names: dict[str, str] = {}

    async def push(self, name: str, group: str, *, priority: int = 3, tenant: str = "a", weight: float = 1.0) -> None:
        start = replace(new_start(group_id=group, priority=priority), tenant_id=tenant, fairness_weight=weight)
        self.names[start.ref.task_id] = name
        await self.engine.start_workflow(start)

    async def take(self, count: int = 1) -> list[str]:
        """Names of the tasks taken, in order; '' where there was none."""
        taken = []
        for _ in range(count):
            offer = await self.inbox.receive()
            if offer is None:
                taken.append("")
                continue
            task_id = wire.decode(offer.payload).task_id
            taken.append(self.names.get(task_id, task_id))
            await self.inbox.drop(offer, release=True)
        return taken


@pytest_asyncio.fixture
async def turns(engine: RedisQueueEngine, redis: Redis, redis_server: str) -> AsyncIterator[Turns]:
    link = Link(redis_server, timeout=5)
    yield Turns(engine, redis, Inbox(link, "worker-1", lock_seconds=60, max_payload_bytes=100_000))
    await link.close()


@pytest.mark.parametrize("how", ["put back", "released"])
async def test_what_is_given_back_keeps_its_priority(turns: Turns, how: str) -> None:
    for name, group, priority in (("last", "g", 5), ("first", "g", 1), ("ordinary", "g", 3), ("other", "h", 3)):
        await turns.push(name, group, priority=priority)
    offer = await turns.inbox.receive()
    assert offer is not None
    if how == "put back":
        await turns.inbox.put_back(offer, release=True)
    else:
        assert await turns.engine.release_worker("worker-1") == 1
    assert (await turns.take())[0] == "first"
    low = [name for name in await turns.take(3) if name != "other"]
    assert low == ["ordinary", "last"]
    await turns.push("lower", "k", priority=5)
    offer = await turns.inbox.receive()
    assert offer is not None
    await turns.inbox.put_back(offer, release=True)
    await turns.push("ordinary too", "k")
    assert await turns.take(3) == ["ordinary too", "lower", ""]


async def test_priority_within_a_group(turns: Turns) -> None:
    for number, priority in enumerate((5, 3, 4, 1, 3, 2, 1, 5)):
        await turns.push(f"{priority}-{number}", "g", priority=priority)
    assert await turns.take(9) == ["1-3", "1-6", "2-5", "3-1", "3-4", "4-2", "5-0", "5-7", ""]


async def test_priority_across_groups_and_tenants(turns: Turns) -> None:
    for number in range(60):
        await turns.push("ordinary", f"g{number}")
    for number in range(20):
        await turns.push("later", f"h{number}", priority=4)
    await turns.push("urgent", "h0", priority=2, tenant="b")
    await turns.push("first", "g7", priority=1)
    assert await turns.take(82) == ["first", "urgent", *["ordinary"] * 60, *["later"] * 20]


async def test_one_task_does_not_wait_for_a_crowd(turns: Turns) -> None:
    for number in range(1000):
        await turns.push("crowd", f"g{number % 100}")
    await turns.take(5)
    await turns.push("other", "o", tenant="b")
    assert "other" in await turns.take(2)


async def test_shares_follow_the_weights(turns: Turns) -> None:
    for number in range(60):
        await turns.push("heavy", f"h{number}", tenant="a", weight=3)
        await turns.push("light", f"l{number}", tenant="b")
    counts = Counter(await turns.take(40))
    assert 29 <= counts["heavy"] <= 31


async def test_who_comes_back_has_no_credit(turns: Turns) -> None:
    await turns.push("b", "b0", tenant="b")
    for number in range(40):
        await turns.push("a", f"a{number}")
    await turns.take(31)
    for number in range(10):
        await turns.push("b", f"b{number}", tenant="b")
    counts = Counter(await turns.take(10))
    assert 4 <= counts["b"] <= 6


async def test_what_legacy_producers_push_takes_turns_too(turns: Turns) -> None:
    for number in range(40):
        await turns.push("a", f"a{number % 4}")
    await turns.redis.sadd(wire.ACTIVE_GROUPS, "legacy")
    await turns.redis.rpush(f"{wire.GROUP}legacy", json.dumps({"task_id": "legacy", "task_type": "add_episode"}))
    assert "legacy" in await turns.take(3)


async def test_legacy_workers_find_everything_where_it_always_was(turns: Turns) -> None:
    for priority in (1, 3, 5):
        await turns.push(str(priority), "g", priority=priority)
    payloads = await turns.redis.lrange(f"{wire.GROUP}g", 0, -1)
    assert [turns.names[wire.decode(payload).task_id] for payload in payloads] == ["1", "3", "5"]
    assert all(
        set(json.loads(payload)) <= {"task_type", "task_id", "group_id", "content", "timestamp", wire.EPOCH}
        for payload in payloads
    )
    # A legacy worker takes two, the urgent one among them, with what it has always done.
    for _ in range(2):
        await turns.redis.lmove(f"{wire.GROUP}g", wire.PROCESSING, "LEFT", "RIGHT")
    assert await turns.take(2) == ["5", ""]


async def test_a_renewed_payload_keeps_its_place(turns: Turns) -> None:
    await turns.push("ordinary", "g")
    await turns.push("urgent", "g", priority=1)
    key, order = f"{wire.GROUP}g", f"{wire.ORDER}g"
    [old] = await turns.redis.zrange(order, 0, -1)
    aged = json.dumps({**json.loads(old), "timestamp": 1.5}).encode()
    await turns.redis.lset(key, 1, aged)
    await turns.redis.zadd(order, {aged: await turns.redis.zscore(order, old)})
    await turns.redis.zrem(order, old)
    assert await turns.engine.keep_fresh() == 1
    assert await turns.take(2) == ["urgent", "ordinary"]


async def test_nothing_is_left_behind(turns: Turns) -> None:
    for number in range(10):
        await turns.push("a", f"g{number}", priority=1 + number % 5)
    await turns.take(12)
    left = {key.decode() async for key in turns.redis.scan_iter("taskgate:*")}
    assert left.isdisjoint({wire.URGENT, wire.TENANTS, f"{wire.TENANT_GROUPS}a"})
    assert not [key for key in left if key.startswith(wire.ORDER)]


async def test_an_ordinary_task_does_not_wait_for_a_crowd_of_a_lower_priority(turns: Turns) -> None:
    await turns.push("before", "g")
    for _ in range(500):
        await turns.push("later", "g", priority=4)
    await turns.push("behind", "g")
    assert await turns.take(3) == ["before", "behind", "later"]
