"""Requests at a fixed rate whatever became of those before, and streams that follow tasks to their end.

A request that fails is repeated with its `Idempotency-Key`, a stream that breaks off is opened again, as clients do.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

#: A request that was not accepted after so many seconds of repeats ends the load.
PATIENCE = 60.0
_REPEAT_SECONDS = 0.1
_ENDS = ("event: completed", "event: failed")


@dataclass
class Request:
    """When it was to be sent, when it was accepted, and what every failed try before said."""

    due: float
    answered: float = 0.0
    failures: list[str] = field(default_factory=list)
    task_id: str = ""


@dataclass
class Stream:
    """How often it broke off before the end of its task, and whether it came to that."""

    broke: int = 0
    ended: bool = False


class Load:
    """`rate` requests a second at one address, of each key in turn. Use as an async context; leaving ends it."""

    def __init__(self, url: str, keys: Sequence[str], rate: float, task_type: str) -> None:
        self.requests: list[Request] = []
        self.followed: list[Request] = []
        self._url, self._keys, self._rate, self._task_type = url, keys, rate, task_type
        self._limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Load:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def stop(self) -> None:
        """Send no more, and return when what was sent is answered. Raises what ended the load too early."""
        self._stopping.set()
        if self._running is not None:
            await self._running

    def check(self) -> None:
        """Raises what ended the load too early."""
        if self._running is not None and self._running.done():
            self._running.result()

    def between(self, first: float, last: float) -> list[Request]:
        """The requests of these seconds."""
        return [request for request in self.requests if first <= request.due < last]

    async def follow(self, count: int, delay: float, stop_at: float) -> list[Stream]:
        """Streams of tasks that begin after `delay` seconds; returns at their end, or at `stop_at`."""
        streams = [Stream() for _ in range(count)]
        async with httpx.AsyncClient(base_url=self._url, timeout=30, limits=self._limits) as http:
            followed = [
                asyncio.create_task(self._follow(http, stream, self._keys[n % len(self._keys)], delay))
                for n, stream in enumerate(streams)
            ]
            done, late = await asyncio.wait(followed, timeout=stop_at - time.time())
            for task in late:
                task.cancel()
            await asyncio.gather(*done)
        return streams

    async def _run(self) -> None:
        async with (
            httpx.AsyncClient(base_url=self._url, timeout=30, limits=self._limits) as http,
            asyncio.TaskGroup() as sent,
        ):
            began = time.time()
            while not self._stopping.is_set():
                request = Request(began + len(self.requests) / self._rate)
                await asyncio.sleep(max(0.0, request.due - time.time()))
                key = self._keys[len(self.requests) % len(self._keys)]
                self.requests.append(request)
                sent.create_task(self._send(http, request, key, {"type": self._task_type, "payload": {}}))

    async def _send(self, http: httpx.AsyncClient, request: Request, key: str, body: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": str(uuid.uuid4())}
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    answer = await http.post("/gateway/v1/tasks", json=body, headers=headers)
                except httpx.TransportError as error:
                    request.failures.append(repr(error))
                else:
                    if answer.status_code == httpx.codes.ACCEPTED:
                        request.answered, request.task_id = time.time(), answer.json()["task_id"]
                        return
                    if answer.is_client_error:
                        raise RuntimeError(f"{answer.status_code}: {answer.text}")
                    request.failures.append(f"{answer.status_code}: {answer.text[:200]}")
                await asyncio.sleep(_REPEAT_SECONDS)

    async def _follow(self, http: httpx.AsyncClient, stream: Stream, key: str, delay: float) -> None:
        request = Request(time.time())
        self.followed.append(request)
        await self._send(http, request, key, {"type": self._task_type, "payload": {}, "delay_seconds": delay})
        path = f"/api/v1/tasks/{request.task_id}/stream"
        while not stream.ended:
            try:
                async with http.stream("GET", path, headers={"Authorization": f"Bearer {key}"}) as response:
                    async for line in response.aiter_lines():
                        stream.ended = stream.ended or line.strip() in _ENDS
            except httpx.TransportError:
                await asyncio.sleep(_REPEAT_SECONDS)
            stream.broke += not stream.ended
