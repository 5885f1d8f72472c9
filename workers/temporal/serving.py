"""Polls one task queue until told to leave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from temporalio.client import Client
from temporalio.worker import Worker

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


class QueueServer:
    """Keeps a `Worker` on one queue; one that fails (no server at its start, no namespace) is replaced.

    `connected` returns a client, waiting for the server as long as it takes. `polling` is set once the queue is
    polled, for good.
    """

    def __init__(
        self, queue: str, connected: Callable[[], Awaitable[Client]], make: Callable[[Client, str], Worker]
    ) -> None:
        self.queue = queue
        self.polling = asyncio.Event()
        self._connected = connected
        self._make = make
        self._leaving = asyncio.Event()
        self._worker: Worker | None = None
        self._task = asyncio.create_task(self._serve(), name=f"poll {queue}")

    def leave(self) -> None:
        """Take no more tasks. Running ones end by themselves."""
        self._leaving.set()

    def use(self, client: Client) -> None:
        """Make the next calls with this client; running tasks are not touched."""
        if self._worker is not None:
            self._worker.client = client

    @property
    def done(self) -> bool:
        """Whether the queue was left, and none of its tasks runs any more."""
        return self._task.done()

    def abandon(self) -> None:
        """Wait for Temporal no longer."""
        self._task.cancel()

    async def wait(self) -> None:
        """Return when done."""
        await asyncio.wait([self._task])

    async def _serve(self) -> None:
        pause = FIRST_PAUSE
        while not self._leaving.is_set():
            try:
                await self._serve_once()
                pause = FIRST_PAUSE
            except Exception as error:  # noqa: BLE001 - a queue must not stay unserved, whatever the SDK raises
                log.warning("polling %s failed, again in %.1f s: %s", self.queue, pause, error)
                await self._leaving_within(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _serve_once(self) -> None:
        connecting = asyncio.ensure_future(self._connected())
        leaving = asyncio.create_task(self._leaving.wait())
        running: asyncio.Task[None] | None = None
        try:
            await asyncio.wait({connecting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                return
            worker = self._worker = self._make(connecting.result(), self.queue)
            running = asyncio.create_task(worker.run(), name=f"worker {self.queue}")
            # The SDK has no event for it: the worker polls once it has checked the namespace.
            started = asyncio.create_task(self._note_polling(worker, running))
            await asyncio.wait({running, leaving}, return_when=asyncio.FIRST_COMPLETED)
            started.cancel()
            if not running.done():
                await worker.shutdown()
            await running
        finally:
            self._worker = None
            connecting.cancel()
            leaving.cancel()
            if running is not None:
                running.cancel()

    async def _note_polling(self, worker: Worker, running: asyncio.Task[None]) -> None:
        while not worker.is_running and not running.done():
            await asyncio.sleep(0.005)
        if worker.is_running:
            self.polling.set()

    async def _leaving_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._leaving.wait()
        except TimeoutError:
            pass
