"""The wire's two ends: the gateway's engine and worker, and the legacy system's producer and worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest_asyncio
from redis.asyncio import Redis

from backends.redis_queue.engine import RedisQueueEngine
from legacy_system import LegacyProducer, LegacyWorkerProcess
from workers.testing.redis_worker import RedisWorkerBench


@pytest_asyncio.fixture
async def redis(redis_server: str) -> AsyncIterator[Redis]:
    """A client of the server, which is empty."""
    async with Redis.from_url(redis_server) as client:
        await client.flushall()
        yield client


@pytest_asyncio.fixture
async def rows(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database with `task_logs`."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def producer(redis: Redis) -> LegacyProducer:
    """Pushes without a row."""
    return LegacyProducer(redis)


@pytest_asyncio.fixture
async def engine(redis: Redis, redis_server: str) -> AsyncIterator[RedisQueueEngine]:
    engine = RedisQueueEngine(redis_server, timeout=5.0)
    yield engine
    await engine.close()


@pytest_asyncio.fixture
async def worker(redis: Redis, redis_server: str) -> AsyncIterator[RedisWorkerBench]:
    """The gateway's worker; to be started by the test."""
    bench = RedisWorkerBench(redis_server)
    yield bench
    await bench.close()


@pytest_asyncio.fixture
async def legacy_worker(
    redis: Redis, redis_server: str, database_url: str, tmp_path: Path
) -> AsyncIterator[LegacyWorkerProcess]:
    """A legacy worker with a quick recovery loop, to be started by the test; its effects are `effects.jsonl`."""
    process = LegacyWorkerProcess(
        redis_server, database_url, tmp_path / "effects.jsonl", recovery_seconds=0.3, stale_seconds=0.3
    )
    yield process
    await process.kill()
