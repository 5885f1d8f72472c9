"""The proxy of the fault suite does to real connections what its faults say, and undoes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Broken

from deploy.local.ports import free_port
from deploy.local.process import destroy_directory
from deploy.local.teardown import stop_directory
from deploy.local.toxiproxy import ToxiproxyPart
from workers.testing.waiting import works

LINK = "test-redis"


@pytest_asyncio.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[ToxiproxyPart]:
    proxy = ToxiproxyPart(tmp_path, free_port(), lambda _: None)
    await proxy.start()
    yield proxy
    await destroy_directory(tmp_path)


@pytest_asyncio.fixture
async def linked(proxy: ToxiproxyPart, redis_server: str) -> AsyncIterator[Redis]:
    """A client whose one connection is open, and which repeats nothing."""
    address = urlsplit(redis_server)
    host, _, port = (await proxy.link(LINK, f"{address.hostname}:{address.port}")).partition(":")
    async with Redis(host=host, port=int(port), retry=None, max_connections=1) as client:
        assert await client.ping()
        yield client


async def works_again(client: Redis) -> None:
    assert await works(client.ping, Broken)


async def test_cut(proxy: ToxiproxyPart, linked: Redis) -> None:
    async with proxy.cut(LINK):
        for _ in range(2):  # the open connection, and a new one
            with pytest.raises(Broken):
                await linked.ping()
    await works_again(linked)


async def test_hung(proxy: ToxiproxyPart, linked: Redis) -> None:
    async with proxy.hung(LINK):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await linked.ping()
    await works_again(linked)


async def test_it_stops_with_its_directory(proxy: ToxiproxyPart, tmp_path: Path) -> None:
    assert await stop_directory(tmp_path) == ["toxiproxy"]
    assert not await proxy.healthy()
