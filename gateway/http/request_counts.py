"""Counts requests that change something, and those of them that failed here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Somebody else failed, or was too slow: the upstream, or a task that was waited for.
_OTHERS: Final = frozenset({502, 504})
#: Set in the scope of a request by whoever answers with what another server answered.
RELAYED: Final = "taskgate.relayed"


class RequestCounts:
    """ASGI middleware. `count(failed)` is called with each first line of an answer."""

    def __init__(self, app: ASGIApp, *, count: Callable[[bool], None]) -> None:
        self._app = app
        self._count = count

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # No frame of its own for what is not counted: a thousand streams are open for hours.
        if scope["type"] != "http" or scope["method"] in _READING:
            return self._app(scope, receive, send)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = message["status"]
                self._count(status >= 500 and status not in _OTHERS and RELAYED not in scope)
            await send(message)

        return self._app(scope, receive, answer)
