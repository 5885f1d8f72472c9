"""Server-Sent Events: what every stream of them has in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing, nullcontext
from typing import Any, Protocol

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

from gateway.access.placement import Caller
from gateway.gateway import Gateway
from gateway.http.task_answers import dump

#: The end of a line; the events of the legacy server end so.
_SEP = "\n"


class Closable(Protocol):
    """A source of changes. `close` ends it, and wakes those who wait for a change."""

    def close(self) -> None: ...


class EventStream(EventSourceResponse):
    """Sends events until they end, the client leaves, or the key that it was opened with is no longer valid."""

    def __init__(
        self, gateway: Gateway, events: AsyncIterator[ServerSentEvent], source: Closable, caller: Caller | None
    ) -> None:
        """`source` is what the events come from: it is closed with the stream, and closing it ends them."""
        super().__init__(
            events,
            headers={"Cache-Control": "no-cache"},
            # The events hold the keepalives, too: a task of its own for them took a stream from 49 to 53 kB.
            ping=0,
            sep=_SEP,
        )
        self._source = source
        # Made here: a stream that is open keeps its key's id, not all that is known of the caller.
        self._watching = nullcontext() if caller is None else gateway.access.watch_key(caller, source.close)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Here, not in the generator of events, which never begins for a client that has left already.
        with closing(self._source), self._watching:
            await super().__call__(scope, receive, send)


def event(name: str, data: dict[str, Any]) -> ServerSentEvent:
    """One event with JSON."""
    return ServerSentEvent(dump(data).decode(), event=name, sep=_SEP)


def keepalive() -> ServerSentEvent:
    """A comment, so that nobody on the way takes the stream for dead."""
    return ServerSentEvent(comment="keepalive", sep=_SEP)
