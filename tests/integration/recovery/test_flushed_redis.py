"""Redis has lost everything: whole gateways put all tasks back into it, also one that starts anew with it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from backends.redis_queue.engine import RedisQueueEngine
from contracts.least import least
from gateway.bootstrap import Gateway, build_gateway
from gateway.routing.stages import Stage
from gateway.routing.testing import StaticFlags
from gateway.settings import Settings
from gateway.storage.database import Database
from workers.testing.waiting import eventually

TASKS, GROUPS = 3000, 100
#: 60,000 tasks are found within sixty seconds; a gateway needs some seconds to start, to lead, and to look.
FOUND_SECONDS = TASKS / 1000 + 3
FILL_LOGS = """
INSERT INTO task_logs (id, group_id, task_type, status, payload, progress, retry_count)
SELECT 't' || n, 'g' || n % $2, 'probe', 'PROCESSING', '{}', 0, 0 FROM generate_series(1, $1::int) n
ON CONFLICT DO NOTHING
"""
FILL = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, state, backend, epoch, queued_at)
SELECT 't' || n, 'g' || n % $2, 'probe', 'queued', 'redis', 1, now() FROM generate_series(1, $1::int) n
"""
NOT_FOUND = "SELECT count(*) FROM taskgate.dispatch WHERE epoch = 1 AND state = 'queued'"
IS_NOTED = "SELECT count(*) = 1 FROM taskgate.engine_memory WHERE after_group IS NULL"


@pytest.fixture
def serving_gateway(database: Database, redis_server: str) -> Callable[[], AbstractAsyncContextManager[Gateway]]:
    """A gateway that leads, with Redis."""

    @asynccontextmanager
    async def serve() -> AsyncIterator[Gateway]:
        settings = Settings(database_url=database.url, grpc_enabled=False)
        gateway = build_gateway(settings, engines={"redis": RedisQueueEngine(redis_server, timeout=5)})
        gateway.router._flags = StaticFlags(Stage.OFF)
        await gateway.start()
        try:
            yield gateway
        finally:
            await gateway.close()

    return serve


async def _waiting(queue: Redis) -> int:
    pipeline = queue.pipeline()
    for number in range(GROUPS):
        pipeline.llen(f"queue:group:g{number}")
    return sum(await pipeline.execute())


@pytest.mark.parametrize("restarts", [False, True], ids=["the gateway stays", "its host restarts, too"])
async def test_tasks_of_a_redis_that_was_emptied_are_back(
    restarts: bool, database: Database, queue: Redis, serving_gateway: Any
) -> None:
    """All of them, each once, at 1,000 a second or more, and with nobody's help."""

    async def fill() -> None:
        await database.execute("DELETE FROM taskgate.dispatch")
        await database.execute(FILL_LOGS, TASKS, GROUPS)
        await database.execute(FILL, TASKS, GROUPS)

    async def is_found() -> bool:
        return await database.fetchval(NOT_FOUND) == 0

    async def are_back() -> bool:
        return await _waiting(queue) >= TASKS

    async def lose_all() -> float:
        await queue.flushall()
        async with serving_gateway():
            await eventually(lambda: database.fetchval(IS_NOTED), within=20)
            await fill()
            if not restarts:
                await queue.flushall()
                return await see(time.monotonic())
        await queue.flushall()
        began = time.monotonic()
        async with serving_gateway():
            return await see(began)

    async def see(began: float) -> float:
        await eventually(is_found, within=60)
        took = time.monotonic() - began
        await eventually(are_back, within=60)
        assert await _waiting(queue) == TASKS
        return took

    assert await least(lose_all, FOUND_SECONDS) < FOUND_SECONDS
