"""The id of each request: the client's own, or a new one; in the answer, and in every line of the log about it."""

from __future__ import annotations

import re
import uuid
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.observability.logs import log_fields

HEADER: Final = b"x-request-id"
_SOUND = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


class RequestIds:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        request_id = given if _SOUND.fullmatch(given) else uuid.uuid4().hex.encode()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and all(name != HEADER for name, _ in message["headers"]):
                message["headers"] = [*message["headers"], (HEADER, request_id)]
            await send(message)

        with log_fields(request_id=request_id.decode()):
            await self._app(scope, receive, answer)
