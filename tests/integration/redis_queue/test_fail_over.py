"""The endpoint of Redis leads to a replica for a while, or the server becomes one: nobody stays with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from backends.errors import EngineUnavailable
from backends.redis_queue.link import Link
from deploy.local.pytest_stack import StackFactory
from workers.testing.proxy import FaultyProxy
from workers.testing.waiting import eventually


@pytest_asyncio.fixture(scope="module")
async def other_server(module_stack_factory: StackFactory) -> str:
    """A Redis of this module's own."""
    return (await module_stack_factory(("redis",))).redis_url


@pytest_asyncio.fixture
async def other(other_server: str) -> AsyncIterator[Redis]:
    """It has no data, and takes writes, before and after each test."""
    async with Redis.from_url(other_server) as client:
        yield client
        await client.slaveof("NO", "ONE")
        await client.flushall()


@pytest_asyncio.fixture
async def link(proxy: FaultyProxy) -> AsyncIterator[Link]:
    """By the endpoint."""
    link = Link(f"redis://{proxy.host}:{proxy.port}/0", timeout=2, connections=2)
    yield link
    await link.close()


def lead(proxy: FaultyProxy, url: str) -> None:
    """New connections go there; nobody cuts those that there are."""
    at = urlsplit(url)
    proxy.lead_to(at.hostname or "", at.port or 0)


async def follow(replica: Redis, primary: str) -> None:
    at = urlsplit(primary)
    await replica.slaveof(at.hostname, at.port)
    await eventually(lambda: replica.info("replication"), lambda info: info["master_link_status"] == "up")


async def test_a_replica_is_not_used(
    redis: Redis, redis_server: str, other: Redis, other_server: str, proxy: FaultyProxy, link: Link
) -> None:
    """Not for reading either: what it holds may be old."""
    await follow(other, redis_server)
    lead(proxy, other_server)
    for command in (("SET", "key", "1"), ("GET", "key")):
        with pytest.raises(EngineUnavailable):
            await link.call(*command)
    lead(proxy, redis_server)
    assert await link.call("SET", "key", "2") == b"OK"
    assert await redis.get("key") == b"2"


async def test_a_connection_to_a_server_that_became_a_replica_is_not_used_again(
    redis: Redis, redis_server: str, other: Redis, other_server: str, proxy: FaultyProxy, link: Link
) -> None:
    lead(proxy, other_server)
    assert await link.call("SET", "key", "1") == b"OK"
    await follow(other, redis_server)
    lead(proxy, redis_server)
    with pytest.raises(EngineUnavailable):
        await link.call("SET", "key", "2")
    for _ in range(3):
        assert await link.call("SET", "key", "3") == b"OK"
    assert await redis.get("key") == b"3"
