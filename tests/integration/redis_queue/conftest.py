"""A Redis that is empty, the engine and the gateway's worker over it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest_asyncio
from redis.asyncio import Redis

from backends.redis_queue.engine import RedisQueueEngine
from workers.testing.proxy import FaultyProxy
from workers.testing.redis_worker import RedisWorkerBench, StartWorker


@pytest_asyncio.fixture
async def redis(redis_server: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_server) as client:
        await client.flushall()
        yield client


@pytest_asyncio.fixture
async def engine(redis: Redis, redis_server: str) -> AsyncIterator[RedisQueueEngine]:
    engine = RedisQueueEngine(redis_server, timeout=5)
    yield engine
    await engine.close()


@pytest_asyncio.fixture
async def start_worker(redis: Redis, redis_server: str) -> AsyncIterator[StartWorker]:
    """Starts a worker with the given options; each ends with the test."""
    benches: list[RedisWorkerBench] = []

    async def start(url: str = redis_server, **options: Any) -> RedisWorkerBench:
        bench = RedisWorkerBench(url, **options)
        benches.append(bench)
        return await bench.start()

    yield start
    for bench in benches:
        await bench.close()


@pytest_asyncio.fixture
async def proxy(redis_server: str) -> AsyncIterator[FaultyProxy]:
    """Stands before the server."""
    address = urlsplit(redis_server)
    proxy = FaultyProxy(address.hostname or "", address.port or 0)
    await proxy.open()
    yield proxy
    await proxy.close()
