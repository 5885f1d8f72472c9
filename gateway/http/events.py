"""Server-Sent Events: how a stream of them begins, and how it ends when its client leaves."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.http.task_answers import dump

KEEPALIVE = b": keepalive\n\n"
#: Not a member of the class, from which FastAPI would document the whole stream as one string.
_MEDIA_TYPE = "text/event-stream"
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

Emit = Callable[[bytes], Awaitable[None]]


class Closable(Protocol):
    """What tells of changes until it is closed."""

    def close(self) -> None: ...


class EventResponse(Response, ABC):
    """Sends events, and closes what they come from when the client leaves.

    A stream is one task of the event loop that sends and one that waits for the client to leave; between events
    nothing else is kept.
    """

    def __init__(self, source: Closable) -> None:
        super().__init__(headers=_HEADERS, media_type=_MEDIA_TYPE)
        del self.headers["content-length"]
        self._source = source

    @abstractmethod
    async def send_events(self, emit: Emit) -> None:
        """Send all events there are, until the end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def emit(body: bytes) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": True})

        leaving = asyncio.create_task(self._close_when_left(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self.send_events(emit)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._source.close()
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving

    async def _close_when_left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._source.close()


def event(name: str, data: dict[str, Any]) -> bytes:
    """One event in the wire's form."""
    return b"event: " + name.encode() + b"\ndata: " + dump(data) + b"\n\n"
