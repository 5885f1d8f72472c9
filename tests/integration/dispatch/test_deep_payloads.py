"""What a legacy producer nests so deep that the interpreter can just read it neither runs again and again nor waits."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest
from redis.asyncio import Redis

from backends.redis_queue import wire
from gateway.storage.database import Database
from workers.redis_queue.worker import RedisQueueWorker
from workers.runner import Runner
from workers.testing.waiting import eventually

#: Where the limit is depends on the stack below; each worker and each test has another one.
LEVELS = (300, *range(700, 1000, 5))


async def test_a_worker_runs_it_or_sets_it_aside(
    runner: Runner,
    lease: SimpleNamespace,
    queue: Redis,
    redis_server: str,
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for levels in LEVELS:
        deep = f'{{"task_id": "t{levels}", "task_type": "probe", "x": {"[" * levels}{"]" * levels}}}'
        await queue.sadd(wire.ACTIVE_GROUPS, f"g{levels}")
        await queue.rpush(f"{wire.GROUP}g{levels}", deep)
    stop = asyncio.Event()
    working = asyncio.create_task(RedisQueueWorker(redis_server, runner, lease.process_id, 4).run(stop))

    async def settled() -> tuple[int, int]:
        done = await database.fetchval("SELECT count(*) FROM task_logs WHERE status = 'COMPLETED'")
        return int(done), int(await queue.llen(wire.DEAD))

    try:
        done, dead = await eventually(settled, lambda found: sum(found) == len(LEVELS))
    finally:
        stop.set()
        await working
    assert done >= 1
    reasons = {json.loads(entry)["reason"] for entry in await queue.lrange(wire.DEAD, 0, -1)}
    assert reasons == {"nested too deeply"}
    assert dead >= 1
    assert await queue.keys(f"{wire.GROUP}*") == []
    assert "the runner broke" not in caplog.text
