"""The route class of every endpoint that needs a key: reads JSON bodies once, and checks the key before the body."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from gateway.access.keys import read_key
from gateway.access.verbs import ASKED, asked_by
from gateway.http.json_body import decode_json
from gateway.http.unknown_fields import with_hints

if TYPE_CHECKING:
    from gateway.gateway import Gateway


def gateway_of(request: HTTPConnection) -> Gateway:
    """The parts of the running gateway."""
    gateway: Gateway = request.app.state.gateway
    return gateway


class JsonRequest(Request):
    """A request whose JSON is decoded by `decode_json`."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = decode_json(await self.body(), max_depth=gateway_of(self).settings.max_json_depth)
        return self._json


class RuledRoute(APIRoute):
    """An endpoint with a verb in `access.verbs`, which decides who may use it. Without one it cannot be made."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asked = asked_by(self.methods or (), self.path)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        ASKED.set(self.asked)
        await super().handle(scope, receive, send)


class KeyedRoute(RuledRoute):
    """An endpoint for callers with a key.

    The endpoint itself asks `access` who calls, together with what else it needs to know. This class sees to it that
    the answer to somebody without a valid key is 401 and nothing else, whatever was sent: a missing or malformed key is
    refused before the body is read, an invalid body is reported only to those whose key is valid.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        # As MemStack has always done: a body without Content-Type is read as JSON.
        super().__init__(*args, **{**options, "strict_content_type": False})

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_keyed(request: Request) -> Response:
            authorization = request.headers.get("authorization")
            read_key(authorization)
            request = JsonRequest(request.scope, request.receive)
            if self.body_field is not None:
                await request.body()  # here, because FastAPI answers any error while it reads one with 400
            try:
                return await handle(request)
            except RequestValidationError as refused:
                await gateway_of(request).access.authenticate(authorization)
                if self.body_field is None:
                    raise
                model = self.body_field.field_info.annotation
                raise RequestValidationError(with_hints(model, refused.errors(), at=1)) from None

        return handle_keyed
