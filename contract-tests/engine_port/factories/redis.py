"""The Redis queue under the conformance suite, with the gateway's own worker."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from urllib.parse import urlsplit

from redis.asyncio import Redis

from backends.port import Capability
from backends.redis_queue.engine import RedisQueueEngine
from workers.outcome import Outcome
from workers.redis_queue.worker import RedisQueueWorker
from workers.testing.harness import EngineHarness
from workers.testing.proxy import FaultyProxy
from workers.testing.scripted import RunningTask, ScriptedRunner


class RedisHarness:
    """The engine reaches Redis through a proxy, the worker directly."""

    def __init__(self, url: str, proxy: FaultyProxy) -> None:
        self._url = url
        self._proxy = proxy
        self.engine = RedisQueueEngine(f"redis://{proxy.host}:{proxy.port}/0", timeout=0.5)
        self._runner = ScriptedRunner()
        self._stop = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self.worker_id = ""

    async def receive(self) -> RunningTask:
        self._stop = asyncio.Event()
        self.worker_id = f"worker-{secrets.token_hex(4)}"
        worker = RedisQueueWorker(self._url, self._runner, self.worker_id, slots=1)
        self._worker = asyncio.create_task(worker.run(self._stop))
        return await self._runner.next()

    async def finish(self, running: RunningTask, outcome: Outcome) -> None:
        assert self._worker is not None
        self._stop.set()
        running.finish(outcome)
        await self._worker
        self._worker = None

    async def lose_worker(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker
            self._worker = None

    async def break_connection(self) -> None:
        await self._proxy.refuse()

    async def lose_answers(self) -> None:
        self._proxy.swallow_answers()

    async def restore_connection(self) -> None:
        await self._proxy.restore()

    async def lose_memory(self) -> bool:
        async with Redis.from_url(self._url) as client:
            await client.flushall()
        return True

    async def aclose(self) -> None:
        await self.lose_worker()
        await self.engine.close()
        await self._proxy.close()


FIXTURES = ("redis_server",)

CAPABILITIES = {
    Capability.REQUEUE,
    Capability.RESULT,
    Capability.PRIORITY,
    Capability.FAIRNESS,
    Capability.WITHDRAW,
}


async def create(redis_server: str) -> EngineHarness:
    address = urlsplit(redis_server)
    proxy = FaultyProxy(address.hostname or "127.0.0.1", address.port or 6379)
    await proxy.open()
    harness = RedisHarness(redis_server, proxy)
    await harness.lose_memory()
    return harness
