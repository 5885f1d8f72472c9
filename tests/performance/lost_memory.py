"""(l) Redis is emptied with many tasks in it: how long one comparison takes until it has found all of them."""

from __future__ import annotations

import os
import time
from typing import Any

from redis.asyncio import Redis

from backends.redis_queue.engine import RedisQueueEngine
from gateway.recovery.engine_check import EngineCheck
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


async def run() -> dict[str, Any]:
    async with measured_stack(("postgres", "redis")) as stack:
        await create_legacy_tables(stack.database_url)
        await migrate(stack.database_url)
        database, engine = Database(stack.database_url), RedisQueueEngine(stack.redis_url, timeout=5)
        notifier = Notifier(database)
        check = EngineCheck(database, engine, notifier, is_down=lambda _: False, wake=lambda: None)
        try:
            await check.check_memory()
            await database.execute(_LOGS, TASKS, GROUPS)
            await database.execute(_QUEUED, TASKS, GROUPS)
            async with Redis.from_url(stack.redis_url) as queue:
                await queue.flushall()
            began = time.monotonic()
            await check.check_memory()
            took = time.monotonic() - began
            found = await database.fetchval("SELECT count(*) FROM taskgate.dispatch WHERE state = 'waiting'")
            assert found == TASKS
        finally:
            await notifier.close()
            await engine.close()
            await database.close()
    return {"memory": {"tasks": TASKS, "seconds": round(took, 1), "tasks_per_s": round(TASKS / took)}}
