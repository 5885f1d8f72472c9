"""Lists are read page by page, and change between the pages: what stays in them is not missed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from backends.port import WorkflowRef
from backends.redis_queue import scripts, wire
from backends.redis_queue.engine import RedisQueueEngine
from backends.redis_queue.link import Link
from backends.redis_queue.pages import walk
from workers.redis_queue.inbox import Inbox

_QUEUE = f"{wire.GROUP}g"


def payload(number: int, content: str = "") -> bytes:
    return wire.encode(WorkflowRef(str(number), 1, "g", "t"), {"content": content})


@pytest_asyncio.fixture
async def link(redis: Redis, redis_server: str) -> AsyncIterator[Link]:
    link = Link(redis_server, timeout=5)
    yield link
    await link.close()


@pytest.mark.parametrize("pop", ["lpop", "rpop"])
async def test_what_is_taken_from_either_end_hides_nothing(link: Link, redis: Redis, pop: str) -> None:
    await redis.rpush(_QUEUE, *map(payload, range(1000)))
    seen: set[str] = set()
    async for page in walk(link, scripts.CONTENTS, (), [_QUEUE]):
        seen |= {name.decode() for name in page.found}
        await getattr(redis, pop)(_QUEUE, 7)
    left = {f"task-{wire.decode(raw).task_id}" for raw in await redis.lrange(_QUEUE, 0, -1)}
    assert left <= seen
    assert len(left) > 900


async def test_what_is_pushed_meanwhile_does_not_keep_it_for_ever(link: Link, redis: Redis) -> None:
    await redis.rpush(_QUEUE, *map(payload, range(1000)))
    pages = 0
    async for _ in walk(link, scripts.CONTENTS, (), [_QUEUE, "queue:group:none"]):
        pages += 1
        await redis.rpush(_QUEUE, payload(1000 + pages))
    assert pages <= 8


async def test_large_payloads_make_short_pages(link: Link, redis: Redis) -> None:
    await redis.rpush(_QUEUE, *(payload(number, "x" * 300_000) for number in range(10)))
    found = [len(page.found) async for page in walk(link, scripts.CONTENTS, (), [_QUEUE])]
    assert found == [2, 2, 2, 2, 2]


async def test_small_payloads_before_large_ones_are_all_seen(link: Link, redis: Redis) -> None:
    """How many are read in one command follows the largest so far; a page may end within them."""
    await redis.rpush(_QUEUE, *(payload(number, "x" * (300_000 if number < 40 else 10)) for number in range(100)))
    seen = [name async for page in walk(link, scripts.CONTENTS, (), [_QUEUE]) for name in page.found]
    assert seen == [f"task-{number}".encode() for number in reversed(range(100))]


async def test_all_copies_of_a_cancelled_start_are_taken_out(
    engine: RedisQueueEngine, redis: Redis, link: Link
) -> None:
    ref = WorkflowRef("1", 1, "g", "t")
    await redis.rpush(_QUEUE, *map(payload, [1, *range(2, 600), 1, *range(600, 900), 1]))
    assert await engine.cancel_workflow(ref, "stopped")
    assert {wire.decode(raw).task_id for raw in await redis.lrange(_QUEUE, 0, -1)} == set(map(str, range(2, 900)))


async def test_one_free_group_is_found_among_thousands_of_locked(link: Link, redis: Redis) -> None:
    inbox = Inbox(link, "worker-1", lock_seconds=60, max_payload_bytes=1000)
    for number in range(3000):
        await redis.sadd(wire.ACTIVE_GROUPS, f"g{number}")
        await redis.rpush(f"{wire.GROUP}g{number}", payload(number))
        if number != 1234:
            await redis.set(f"{wire.LOCK}g{number}", "host-01234567", ex=3600)
    offer = await inbox.receive()
    assert offer is not None
    assert offer.group == b"g1234"
    assert await inbox.receive() is None
