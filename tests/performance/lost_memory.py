"""(l) Redis is emptied with many tasks in it: how long one comparison takes until it has found all of them, and how
long a gateway takes until all are in Redis again.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from redis.asyncio import Redis

from backends.redis_queue.engine import RedisQueueEngine
from gateway.bootstrap import build_gateway
from gateway.recovery.engine_check import EngineCheck
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.schema.migrate import create_legacy_tables, migrate
from gateway.tasks.changes.notifier import Notifier
from tests.performance.stack import measured_stack

TASKS, GROUPS = int(os.environ.get("BENCH_LOST", "60000")), 500

_LOGS = """
INSERT INTO task_logs (id, group_id, task_type, status, payload, progress, retry_count)
SELECT 't' || n, 'g' || n % $2, 'bench_noop', 'PROCESSING', '{}', 0, 0 FROM generate_series(1, $1::int) n
"""
_QUEUED = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, state, backend, epoch, queued_at)
SELECT 't' || n, 'g' || n % $2, 'bench_noop', 'queued', 'redis', 1, now() FROM generate_series(1, $1::int) n
"""


_FORGET = "TRUNCATE taskgate.dispatch, taskgate.engine_memory, task_logs CASCADE"
_NOTED = "SELECT count(*) FROM taskgate.engine_memory WHERE after_group IS NULL"
_QUEUED_AGAIN = "SELECT count(*) FROM taskgate.dispatch WHERE epoch = 2 AND state = 'queued'"


async def run() -> dict[str, Any]:
    async with measured_stack(("postgres", "redis")) as stack:
        await create_legacy_tables(stack.database_url)
        await migrate(stack.database_url)
        database = Database(stack.database_url)
        try:
            found = await _find(database, stack.redis_url)
            await database.execute(_FORGET)
            back = await _put_back(database, stack.redis_url)
        finally:
            await database.close()
    rate = {"tasks_per_s": round(TASKS / found), "back_per_s": round(TASKS / back)}
    return {"memory": {"tasks": TASKS, "seconds": round(found, 1), "back_seconds": round(back, 1), **rate}}


async def _find(database: Database, redis_url: str) -> float:
    """Seconds of one comparison."""
    engine, notifier = RedisQueueEngine(redis_url, timeout=5), Notifier(database)
    check = EngineCheck(database, engine, notifier, is_down=lambda _: False, wake=lambda: None)
    try:
        await check.check_memory()
        await _lose(database, redis_url)
        began = time.monotonic()
        await check.check_memory()
        took = time.monotonic() - began
        found = await database.fetchval("SELECT count(*) FROM taskgate.dispatch WHERE state = 'waiting'")
        assert found == TASKS
    finally:
        await notifier.close()
        await engine.close()
    return took


async def _put_back(database: Database, redis_url: str) -> float:
    """Seconds until Redis has all of them again, with a gateway that runs."""
    settings = Settings(database_url=database.url, grpc_enabled=False)
    gateway = build_gateway(settings, engines={"redis": RedisQueueEngine(redis_url, timeout=5)})
    await gateway.start()
    try:
        while not await database.fetchval(_NOTED):
            await asyncio.sleep(0.1)
        await _lose(database, redis_url)
        began = time.monotonic()
        while await database.fetchval(_QUEUED_AGAIN) < TASKS:
            await asyncio.sleep(0.2)
        return time.monotonic() - began
    finally:
        await gateway.close()


async def _lose(database: Database, redis_url: str) -> None:
    await database.execute(_LOGS, TASKS, GROUPS)
    await database.execute(_QUEUED, TASKS, GROUPS)
    async with Redis.from_url(redis_url) as queue:
        await queue.flushall()
