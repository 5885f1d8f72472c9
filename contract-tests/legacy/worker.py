"""The legacy worker of the contract (L5), with its defects R1 to R9: what unmodified workers beside the gateway do.

    python contract-tests/legacy/worker.py --redis URL --database URL --handlers MODULE
        [--recovery-seconds 60] [--stale-seconds 60] [--coroutines 20]

Nothing of taskgate is imported. It says `ready <worker id>` on standard output once it polls, and ends on SIGTERM.
`--recovery-seconds` is the pause of the recovery loop, `--stale-seconds` the age at which that loop pushes a PENDING
row again; the legacy system has 60 for both.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import json
import logging
import secrets
import signal
import socket
import sys
import time
from typing import Any

import asyncpg
from redis.asyncio import Redis

log = logging.getLogger("legacy")

ACTIVE = "queue:active_groups"
PROCESSING = "queue:processing:global"
LOCK_SECONDS = 3600
TIMEOUTS = {
    "add_episode": 600,
    "rebuild_communities": 3600,
    "incremental_refresh": 3600,
    "deduplicate_entities": 1800,
}


class Registry:
    """Handlers by task type, as a handler module's `register(registry)` expects it."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}

    def register(self, handler: Any) -> None:
        self.handlers[handler.task_type] = handler

    def load(self, name: str) -> None:
        module = importlib.import_module(name)
        if callable(getattr(module, "register", None)):
            module.register(self)
            return
        for value in vars(module).values():
            if inspect.isclass(value) and not inspect.isabstract(value) and hasattr(value, "task_type"):
                self.register(value())


class Context:
    """What handlers are given; graph and memories are not part of this stand-in."""

    _graphiti_client = None

    def __init__(self, database: asyncpg.Pool) -> None:
        self._database = database

    async def _schema_loader(self, project_id: str) -> None:
        return None

    async def _update_memory_status(self, memory_id: str, status: Any) -> None:
        return None

    async def _sync_schema_from_graph_result(self, nodes: Any, edges: Any, project_id: str) -> None:
        return None

    async def _update_task_log(
        self,
        task_id: str,
        status: str,
        worker_id: str | None = None,
        error_message: str | None = None,
        increment_retry: bool = False,
        progress: int | None = None,
        result: dict[str, Any] | None = None,
        message: str | None = None,
    ) -> None:
        await self._database.execute(
            """
            UPDATE task_logs SET
                status = $2::varchar,
                worker_id = COALESCE($3, worker_id),
                error_message = COALESCE($4, error_message),
                retry_count = retry_count + CASE WHEN $5 THEN 1 ELSE 0 END,
                progress = COALESCE($6, progress),
                result = COALESCE($7::json, result),
                message = COALESCE($8, message),
                started_at = CASE WHEN $2::varchar = 'PROCESSING' THEN COALESCE(started_at, now()) ELSE started_at END,
                completed_at = CASE WHEN $2::varchar IN ('COMPLETED', 'FAILED') THEN now() ELSE completed_at END
            WHERE id = $1
            """,
            task_id,
            status,
            worker_id,
            error_message,
            increment_retry,
            progress,
            None if result is None else json.dumps(result),
            message,
        )


class LegacyWorker:
    """One process: some coroutines that take tasks, and one recovery loop."""

    def __init__(self, redis: Redis, database: asyncpg.Pool, registry: Registry, recovery: float, stale: float) -> None:
        self._redis = redis
        self._database = database
        self._registry = registry
        self._context = Context(database)
        self._recovery = recovery
        self._stale = stale
        self.worker_id = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        #: Its loops end: a cancellation alone may be lost in a library that is just connecting.
        self.is_ending = False

    async def run(self, coroutines: int) -> None:
        print(f"ready {self.worker_id}", flush=True)  # noqa: T201 - the process's one word to who started it
        await asyncio.gather(self._recover_forever(), *(self._work_forever() for _ in range(coroutines)))

    # Taking -------------------------------------------------------------------------------------------------

    async def _work_forever(self) -> None:
        while not self.is_ending:
            try:
                if not await self._redis.smembers(ACTIVE):
                    await asyncio.sleep(1)
                elif not await self._take_one():
                    await asyncio.sleep(0.5)
            except Exception as error:  # noqa: BLE001 - the legacy loop swallows everything
                log.error("worker loop: %s: %s", type(error).__name__, error)
                await asyncio.sleep(1)

    async def _take_one(self) -> bool:
        for raw_group in await self._redis.srandmember(ACTIVE, 5):
            group = raw_group.decode()
            lock = f"lock:queue:group:{group}"
            if not await self._redis.set(lock, self.worker_id, nx=True, ex=LOCK_SECONDS):
                continue
            try:
                # R1: RPUSH and RPOPLPUSH make the list a stack.
                payload = await self._redis.rpoplpush(f"queue:group:{group}", PROCESSING)
                if payload is None:
                    # In two steps: a producer's RPUSH in between is forgotten.
                    await self._redis.srem(ACTIVE, group)
                    continue
                await self._process(payload)
                return True
            finally:
                # R3: not renewed, and deleted whoever holds it by now. R6: a killed worker never comes here.
                await self._redis.delete(lock)
        return False

    async def _process(self, raw: bytes) -> None:
        task = json.loads(raw)
        task_id = task["task_id"]
        # R9: nobody looks whether the row was stopped meanwhile. R2: nor whether somebody ran it already.
        await self._context._update_task_log(task_id, "PROCESSING", worker_id=self.worker_id)
        handler = self._registry.handlers.get(task["task_type"])
        try:
            if handler is not None:
                await handler.process(task, self._context)  # R8: no time limit
        except Exception as error:  # noqa: BLE001 - a handler's failure is the task's
            await self._redis.lrem(PROCESSING, 1, raw)
            await self._context._update_task_log(task_id, "FAILED", error_message=str(error))
            return
        await self._redis.lrem(PROCESSING, 1, raw)
        # R7: without a handler nothing was done, and this is what the row says.
        await self._context._update_task_log(task_id, "COMPLETED")

    # Recovery -----------------------------------------------------------------------------------------------

    async def _recover_forever(self) -> None:
        while not self.is_ending:
            await asyncio.sleep(self._recovery)
            try:
                await self._recover_stalled()
                await self._recover_pending()
            except Exception as error:  # noqa: BLE001 - the legacy loop swallows everything
                log.error("recovery loop: %s: %s", type(error).__name__, error)

    async def _recover_stalled(self) -> None:
        for raw in await self._redis.lrange(PROCESSING, 0, -1):
            task = json.loads(raw)
            # R4: the time of enqueueing, not of starting.
            if time.time() - task["timestamp"] <= TIMEOUTS.get(task["task_type"], 600):
                continue
            await self._redis.lrem(PROCESSING, 1, raw)
            group = task.get("group_id")
            if group is None:
                continue  # R5: gone for good
            await self._database.execute(
                "UPDATE task_logs SET status = 'PENDING', retry_count = retry_count + 1 WHERE id = $1", task["task_id"]
            )
            task["timestamp"] = time.time()
            await self._redis.sadd(ACTIVE, group)
            await self._redis.lpush(f"queue:group:{group}", json.dumps(task))

    async def _recover_pending(self) -> None:
        rows = await self._database.fetch(
            """
            SELECT id, group_id, task_type, payload FROM task_logs
            WHERE status = 'PENDING' AND created_at < now() - make_interval(secs => $1)
            ORDER BY created_at LIMIT 10
            """,
            self._stale,
        )
        for row in rows:
            # R2: whoever owns the row, and whatever queue it may already be in.
            task = json.loads(row["payload"] or "{}")
            task |= {"task_id": row["id"], "task_type": row["task_type"], "timestamp": time.time()}
            await self._redis.sadd(ACTIVE, row["group_id"])
            await self._redis.rpush(f"queue:group:{row['group_id']}", json.dumps(task))


async def main(arguments: argparse.Namespace) -> None:
    registry = Registry()
    registry.load(arguments.handlers)
    database = await asyncpg.create_pool(arguments.database, min_size=1, max_size=5)
    async with Redis.from_url(arguments.redis) as redis, database:
        worker = LegacyWorker(redis, database, registry, arguments.recovery_seconds, arguments.stale_seconds)
        work = asyncio.create_task(worker.run(arguments.coroutines))

        def end() -> None:
            worker.is_ending = True
            work.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
        try:
            await work
        except asyncio.CancelledError:
            log.info("ends")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redis", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--handlers", required=True)
    parser.add_argument("--recovery-seconds", type=float, default=60)
    parser.add_argument("--stale-seconds", type=float, default=60)
    parser.add_argument("--coroutines", type=int, default=20)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(main(parser.parse_args()))
