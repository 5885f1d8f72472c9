"""Short names for the Redis, the engine and the proxy of `tests/integration`, and a worker over them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from backends.redis_queue.engine import RedisQueueEngine
from workers.testing.proxy import FaultyProxy
from workers.testing.redis_worker import RedisWorkerBench, StartWorker


@pytest.fixture
def redis(queue: Redis) -> Redis:
    return queue


@pytest.fixture
def engine(redis_engine: RedisQueueEngine) -> RedisQueueEngine:
    return redis_engine


@pytest.fixture
def proxy(redis_proxy: FaultyProxy) -> FaultyProxy:
    return redis_proxy


@pytest_asyncio.fixture
async def start_worker(queue: Redis, redis_server: str) -> AsyncIterator[StartWorker]:
    """Starts a worker with the given options; each ends with the test."""
    benches: list[RedisWorkerBench] = []

    async def start(url: str = redis_server, **options: Any) -> RedisWorkerBench:
        bench = RedisWorkerBench(url, **options)
        benches.append(bench)
        return await bench.start()

    yield start
    for bench in benches:
        await bench.close()
