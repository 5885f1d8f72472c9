"""The legacy loop: its producer here, its worker (`contract-tests/legacy/worker.py`) with this module's handler."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import effects
from redis.asyncio import Redis

#: One task at a time per group: so many groups let all coroutines work.
GROUPS = 50
#: How old a task of kind `once` says it is: the loop takes tasks back that are older than ten minutes.
STALLED_SECONDS = 3600


class Bench:
    task_type = "bench"

    async def process(self, payload: dict[str, Any], context: Any) -> None:
        await effects.run(payload["name"], payload["kind"])


def register(registry: Any) -> None:
    registry.register(Bench())


@asynccontextmanager
async def open_sender() -> AsyncIterator[Callable[[str, str], Awaitable[None]]]:
    pool = await asyncpg.create_pool(os.environ["BENCH_DATABASE"], min_size=1, max_size=5)
    redis = Redis.from_url(os.environ["BENCH_REDIS"])

    async def send(name: str, kind: str) -> None:
        task_id = str(uuid.uuid4())
        group = f"g{int(name.rpartition('-')[2]) % GROUPS}"
        age = STALLED_SECONDS if kind == "once" else 0
        body = {"task_type": "bench", "task_id": task_id, "group_id": group, "name": name, "kind": kind}
        payload = json.dumps({**body, "timestamp": time.time() - age})
        await pool.execute(
            "INSERT INTO task_logs (id, group_id, task_type, status, payload) VALUES ($1, $2, 'bench', 'PENDING', $3)",
            task_id,
            group,
            payload,
        )
        await redis.sadd("queue:active_groups", group)
        await redis.rpush(f"queue:group:{group}", payload)

    yield send
    await redis.aclose()
    await pool.close()
