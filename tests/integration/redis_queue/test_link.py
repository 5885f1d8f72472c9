"""Connections to Redis: few, used again, and never with an answer in them that belongs to somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from backends.errors import AnswerLost, EngineUnavailable
from backends.redis_queue import link as module
from backends.redis_queue.link import Link
from workers.testing.proxy import FaultyProxy
from workers.testing.waiting import eventually

CONNECTIONS = 2


@pytest_asyncio.fixture
async def link(redis: Redis, redis_server: str) -> AsyncIterator[Link]:
    link = Link(redis_server, timeout=0.3, connections=CONNECTIONS)
    yield link
    await link.close()


async def clients(redis: Redis) -> int:
    """Connections but the one that asks."""
    return len(await redis.client_list(_type="normal")) - 1


async def test_one_after_the_other_share_a_connection(link: Link, redis: Redis) -> None:
    assert len({await link.call("CLIENT", "ID") for _ in range(5)}) == 1
    await link.close()
    assert await eventually(lambda: clients(redis), lambda number: number == 0) == 0


async def test_there_are_no_more_than_allowed(redis: Redis, redis_server: str) -> None:
    link = Link(redis_server, timeout=30, connections=CONNECTIONS)
    ids = await asyncio.gather(*(link.call("CLIENT", "ID") for _ in range(20)))
    assert len(set(ids)) <= CONNECTIONS
    waits = [asyncio.create_task(link.call("BLPOP", f"held-{n}", 0)) for n in range(CONNECTIONS)]
    await eventually(lambda: redis.info("clients"), lambda info: info["blocked_clients"] == CONNECTIONS)
    late = asyncio.create_task(link.call("PING"))
    assert await clients(redis) == CONNECTIONS
    assert not late.done()
    await redis.rpush("held-0", "go")
    assert await late == b"PONG", "whoever comes waits for one"
    await redis.rpush("held-1", "go")
    await asyncio.gather(*waits)
    await link.close()


async def test_who_waits_too_long_for_a_connection(link: Link, redis: Redis, redis_server: str) -> None:
    hasty = Link(redis_server, timeout=0.1, connections=1)
    taken = asyncio.create_task(hasty.call("BLPOP", "none", 5))
    await eventually(lambda: redis.info("clients"), lambda info: info["blocked_clients"] == 1)
    with pytest.raises(AnswerLost):
        await taken
    taken = asyncio.create_task(hasty.call("BLPOP", "none", 0.09))
    with pytest.raises(EngineUnavailable):
        await asyncio.gather(*(hasty.call("BLPOP", "none", 0.09) for _ in range(3)))
    await asyncio.gather(taken, return_exceptions=True)
    await hasty.close()


async def test_an_answer_that_came_too_late_is_nobodys(link: Link, redis: Redis) -> None:
    with pytest.raises(AnswerLost):
        await link.call("BLPOP", "late", 5, repeat=False)
    await eventually(lambda: redis.info("clients"), lambda info: info["blocked_clients"] == 0)
    await redis.rpush("late", "an answer")
    assert await link.call("PING") == b"PONG"
    assert await redis.lrange("late", 0, -1) == [b"an answer"]


async def test_a_wait_that_was_given_up_leaves_nothing(link: Link, redis: Redis) -> None:
    waiting = asyncio.create_task(link.call("BLPOP", "given-up", 5))
    await eventually(lambda: redis.info("clients"), lambda info: info["blocked_clients"] == 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await eventually(lambda: redis.info("clients"), lambda info: info["blocked_clients"] == 0)
    await redis.rpush("given-up", "kept")
    assert await link.call("LPOP", "given-up") == b"kept"


async def test_a_connection_that_was_closed_while_idle_is_not_used(link: Link, redis: Redis) -> None:
    for _ in range(3):
        number = await link.call("CLIENT", "ID")
        await redis.client_kill_filter(_id=str(number))
        assert await link.call("PING") == b"PONG"


async def test_a_refused_command_keeps_its_connection(link: Link) -> None:
    number = await link.call("CLIENT", "ID")
    with pytest.raises(Exception, match="Redis refused a command"):
        await link.call("NOSUCHCOMMAND")
    assert await link.call("CLIENT", "ID") == number


async def clock() -> float:
    return asyncio.get_running_loop().time()


async def idle_connections(link: Link) -> None:
    """Make the pool open as many as it may."""
    ids = await asyncio.gather(*(link.call("CLIENT", "ID") for _ in range(CONNECTIONS)))
    assert len(set(ids)) == CONNECTIONS


@pytest_asyncio.fixture
async def distant(redis: Redis, proxy: FaultyProxy) -> AsyncIterator[Link]:
    """Reaches Redis through the proxy."""
    link = Link(f"redis://{proxy.host}:{proxy.port}/0", timeout=0.5, connections=CONNECTIONS)
    yield link
    await link.close()


async def test_one_lost_answer_is_enough_where_all_connections_vanished(distant: Link, proxy: FaultyProxy) -> None:
    await idle_connections(distant)
    proxy.vanish()
    with pytest.raises(AnswerLost):
        await distant.call("PING")
    for _ in range(CONNECTIONS + 1):
        assert await distant.call("PING") == b"PONG"


async def test_what_vanished_while_it_was_idle_costs_no_answer(
    redis: Redis, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEALTH_SECONDS", 0.2)
    link = Link(f"redis://{proxy.host}:{proxy.port}/0", timeout=0.5, connections=CONNECTIONS)
    await idle_connections(link)
    used_at = asyncio.get_running_loop().time()
    proxy.vanish()
    await eventually(clock, lambda now: now > used_at + 0.2)
    for _ in range(CONNECTIONS + 1):
        assert await link.call("INCR", "counter", repeat=False)
    assert await redis.get("counter") == str(CONNECTIONS + 1).encode()
    await link.close()


async def test_a_redis_that_never_answers_is_waited_for_twice_the_timeout_at_most(
    distant: Link, proxy: FaultyProxy
) -> None:
    await idle_connections(distant)
    proxy.swallow_answers()
    loop = asyncio.get_running_loop()
    for _ in range(3):
        began = loop.time()
        with pytest.raises((AnswerLost, EngineUnavailable)):
            await distant.call("PING")
        assert loop.time() - began < 1.5
    await proxy.restore()
    assert await distant.call("PING") == b"PONG"
