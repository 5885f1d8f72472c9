"""`RedisWorkerBench`: the gateway's Redis worker in the test's own event loop, with every outcome in its hands."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

from workers.outcome import Assignment, Completed, Outcome
from workers.redis_queue.worker import RedisQueueWorker
from workers.testing.scripted import RunningTask, ScriptedRunner


class RedisWorkerBench:
    """Begin with `await start()`; end with `stop` (in peace), `kill` (as SIGKILL would) or `close` (either)."""

    def __init__(self, url: str, *, slots: int = 4, worker_id: str | None = None, **options: Any) -> None:
        self.worker_id = worker_id or f"worker-{secrets.token_hex(4)}"
        self.runner = ScriptedRunner()
        self.worker = RedisQueueWorker(url, self.runner, self.worker_id, slots, **options)
        self._stop = asyncio.Event()
        self._run: asyncio.Task[None] | None = None

    async def start(self) -> RedisWorkerBench:
        """Returns once the worker takes tasks."""
        self._run = asyncio.create_task(self.worker.run(self._stop))
        async with asyncio.timeout(30):
            await self.worker.ready.wait()
        return self

    async def next(self) -> RunningTask:
        """The next task that the worker runs."""
        return await self.runner.next()

    async def run_next(self, outcome: Outcome | None = None) -> Assignment:
        """Let the next task end with this outcome, completed unless told otherwise; returns what it was."""
        running = await self.next()
        running.finish(outcome or Completed())
        return running.assignment

    def ask_to_stop(self) -> None:
        """The word to stop, without waiting."""
        self._stop.set()

    async def stop(self) -> None:
        """Take no more tasks, and wait for those that run."""
        self._stop.set()
        if self._run is not None:
            await self._run

    async def ended(self) -> None:
        """Wait until it ends by itself; raises what it ended by."""
        assert self._run is not None
        await self._run

    async def kill(self) -> None:
        """End at once, leaving everything in Redis as it is."""
        if self._run is not None:
            self._run.cancel()
            with suppress(asyncio.CancelledError):
                await self._run

    async def close(self) -> None:
        if self._run is not None and not self._run.done():
            await self.kill()


StartWorker: TypeAlias = Callable[..., Awaitable[RedisWorkerBench]]
"""A fixture's way to start workers: address and options as those of `RedisWorkerBench`, both optional."""
