"""Gives each request over HTTP its id."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.observability.logs import log_fields
from gateway.observability.request_id import HEADER, request_id_of

_HEADER = HEADER.encode()


class RequestIds:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = next((value for name, value in scope["headers"] if name == _HEADER), None)
        request_id = request_id_of(None if given is None else given.decode("latin-1"))

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and all(name != _HEADER for name, _ in message["headers"]):
                message["headers"] = [*message["headers"], (_HEADER, request_id.encode())]
            await send(message)

        with log_fields(request_id=request_id):
            await self._app(scope, receive, answer)
