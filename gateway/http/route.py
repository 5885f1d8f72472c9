"""The route class of every endpoint that needs a key: reads JSON bodies once, and checks the key before the body."""

from __future__ import annotations

import asyncio
import contextlib
import email.message
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import Message, Receive, Scope, Send

from gateway.access.keys import read_key
from gateway.access.sessions import hash_token
from gateway.access.verbs import ASKED, asked_by
from gateway.errors import ApiError
from gateway.http.bodies import MOST_ERRORS, Bodies, given_twice, is_small
from gateway.http.problems import NEW_API
from gateway.http.query_parameters import check_query, parameters_of, query_model
from gateway.http.session_cookies import SESSION_TOKEN
from gateway.http.unknown_fields import with_hints
from gateway.tasks.json_text import decode_json

if TYPE_CHECKING:
    from gateway.gateway import Gateway

#: The first piece of a body that follows its head within so many seconds is awaited before the key is looked up.
_PROMPT = 0.1
#: What a body says that says nothing; clients send one where they always send JSON.
_SAYS_NOTHING: Final = (b"", b"{}", b"null")
_NO_BODY: Final = {"type": "no_body", "loc": ("body",), "msg": "This endpoint takes no body", "input": None}
_NOT_JSON: Final = {"type": "json_type", "loc": ("body",), "msg": "Send JSON, with Content-Type: application/json"}


def gateway_of(request: HTTPConnection) -> Gateway:
    """The parts of the running gateway."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def _bodies_of(request: HTTPConnection) -> Bodies:
    bodies: Bodies = request.app.state.bodies
    return bodies


def client_of(scope: Scope) -> str:
    """The address of the client, as far as the proxies in front are trusted; empty: unknown."""
    client = scope.get("client")
    return client[0] if client else ""


class JsonRequest(Request):
    """A request whose body is bounded, and whose JSON is decoded by `decode_json`.

    A body that comes in one piece together with its head is read at once, as it costs nothing more; for any other the
    key is looked up before a further piece is read. `release` gives back the room that the body took.
    """

    _key_id: str | None = None
    _held = 0
    _refused: json.JSONDecodeError | None = None

    async def body(self) -> bytes:
        """The body; a `bytearray` if it came in several pieces.

        Raises `Unauthenticated`, `TooManyOpen`, `TooMuchHeld`, `ClientDisconnect`.
        """
        if not hasattr(self, "_body"):
            self._body = await self._read()
        return self._body

    async def refuse_body(self) -> None:
        """For an endpoint that reads none: what a body says would be lost.

        Raises `RequestValidationError` for a body that says something, as `body`.
        """
        # Without these there is none, and nothing is awaited.
        if self.headers.get("content-length", "0") == "0" and "transfer-encoding" not in self.headers:
            return
        if b"".join((await self.body()).split()) not in _SAYS_NOTHING:
            raise RequestValidationError([_NO_BODY])

    async def json(self) -> Any:
        if self._refused is not None:
            raise self._refused
        if not hasattr(self, "_json"):
            self._json = decode_json(await self.body(), max_depth=gateway_of(self).settings.max_json_depth)
        return self._json

    async def check(self, model: Any, *, strict: bool) -> None:
        """See that the body can be decoded without holding up others; if `strict`, that no field is there twice.

        Raises `RequestValidationError`, as `body`.
        """
        body = await self.body()
        if is_small(body):
            with contextlib.suppress(json.JSONDecodeError):
                if strict and (twice := given_twice(body, await self.json())):
                    raise RequestValidationError(twice)
            return
        bodies = _bodies_of(self)
        try:
            value, errors = await bodies.decode(
                body, model, await self._caller(), limit=self.scope["taskgate.body_limit"], strict=strict
            )
        except json.JSONDecodeError as refused:
            self._refused = refused
            return
        if errors:
            raise RequestValidationError(errors)
        self._json = value

    def release(self) -> None:
        if self._key_id is not None and self._held:
            gateway_of(self).held.release(self._key_id, self._held)
            self._held = 0

    async def _read(self) -> Any:
        message = await self._first_message()
        piece = _piece(message)
        if not message.get("more_body", False):
            return piece
        key_id, held = await self._caller(), gateway_of(self).held
        body = bytearray()  # grows where it is, while to join the pieces would hold up others
        while True:
            held.hold(key_id, len(piece))
            self._held += len(piece)
            body += piece
            if not message.get("more_body", False):
                return body
            message = await self.receive()
            piece = _piece(message)

    async def _first_message(self) -> Message:
        try:
            async with asyncio.timeout(_PROMPT):
                return await self.receive()
        except TimeoutError:
            await self._caller()
            return await self.receive()

    async def _caller(self) -> str:
        if self._key_id is None:
            caller = await gateway_of(self).access.authenticate(self.headers.get("authorization"))
            self._key_id = caller.key_id
        return self._key_id


def _says_json(request: Request) -> bool:
    """Whether FastAPI reads the body as JSON. Any other it hands over as bytes, which only a model refuses."""
    given = request.headers.get("content-type")
    if not given:
        return True
    message = email.message.Message()
    message["content-type"] = given
    kind = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (kind == "json" or kind.endswith("+json"))


def _piece(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    piece: bytes = message.get("body", b"")
    return piece


def operation_id(route: APIRoute) -> str:
    """What generated clients call the method of an endpoint. FastAPI's own names hold path and method, too."""
    return route.name


class RuledRoute(APIRoute):
    """An endpoint with a verb in `access.verbs`, which decides who may use it. Without one it cannot be made."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "generate_unique_id_function": operation_id})
        self.asked = asked_by(self.methods or (), self.path)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = scope.get(SESSION_TOKEN, "")
        ASKED.set(
            replace(self.asked, address=client_of(scope), session_token_hash=hash_token(session) if session else "")
        )
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
        model = None if self.body_field is None else self.body_field.field_info.annotation
        models = {"body": model, "query": query_model(self.dependant)}
        is_strict = self.path.startswith(NEW_API)
        takes_body = self.body_field is not None or "requestBody" in (self.openapi_extra or {})
        parameters = parameters_of(self.dependant)

        async def handle_keyed(request: Request) -> Response:
            authorization = request.headers.get("authorization")
            if authorization or SESSION_TOKEN not in request.scope:
                read_key(authorization)
            request = JsonRequest(request.scope, request.receive)
            try:
                if is_strict:
                    check_query(request, parameters)
                    if not takes_body:
                        await request.refuse_body()
                if self.body_field is not None:
                    # Here, because FastAPI answers any error while it reads a body with 400.
                    await request.check(model, strict=is_strict)
                    if is_strict and await request.body() and not _says_json(request):
                        raise RequestValidationError([_NOT_JSON])
                return await handle(request)
            except ApiError as refused:
                if (answer := await self.first_answer(request, refused)) is None:
                    raise
                return answer
            except RequestValidationError as refused:
                await gateway_of(request).access.authenticate(authorization)
                found = ([error] for error in refused.errors()[:MOST_ERRORS])
                raise RequestValidationError(
                    [hinted for error in found for hinted in with_hints(models.get(error[0]["loc"][0]), error, at=1)]
                ) from None
            finally:
                request.release()

        return handle_keyed

    async def first_answer(self, request: Request, refused: ApiError) -> Response | None:
        """The answer to the earlier request that this one repeats, which would be `refused` now."""
        return None
