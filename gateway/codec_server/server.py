"""`taskgate codec-server`: decrypts payloads for Temporal's UI and CLI, for administrators, each time with an entry in
the ledger.

A process of its own, not a path of the gateway: what holds the keys and answers browsers should be small, reachable
from the operators' network alone, and no reason to give keys to gateways that serve clients.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import uvicorn
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.api.common.v1 import Payload, Payloads

from backends.errors import PayloadKeyMissing, PayloadUnreadable
from backends.temporal.encryption import EncryptionCodec
from gateway.access.access import Access
from gateway.access.placement import Caller
from gateway.access.verbs import ASKED, Asked, Verb
from gateway.audit.acts import Act, record
from gateway.codec_server.payloads import LONGEST_NAME, key_ids, payloads_of
from gateway.errors import ApiError, BodyTooLarge, Forbidden, InvalidRequest
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.preflight import check_database

log = logging.getLogger(__name__)

_TYPE: Final = "urn:taskgate:error:"
_NAMESPACE: Final = "x-namespace"
Translate = Callable[[Iterable[Payload]], Awaitable[list[Payload]]]


class CodecServer:
    """The application. `origins`: of the pages that may call it, as Temporal's UI."""

    def __init__(
        self, database: Database, access: Access, codec: EncryptionCodec, *, origins: list[str], max_body_bytes: int
    ) -> None:
        self._db = database
        self._access = access
        self._codec = codec
        self._max_body_bytes = max_body_bytes
        cors = Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_credentials=True,
            allow_methods=["POST"],
            allow_headers=["authorization", "content-type", _NAMESPACE],
        )
        routes = [
            Route("/decode", self._decode, methods=["POST"]),
            Route("/encode", self._encode, methods=["POST"]),
            Route("/health", _health),
        ]
        self.app = Starlette(routes=routes, middleware=[cors], exception_handlers={ApiError: _refused})

    async def _decode(self, request: Request) -> Response:
        caller = await self._administrator(request)
        given = await self._payloads(request)
        detail = {"payloads": len(given.payloads), "keys": sorted(key_ids(given))}
        # Before the answer: what cannot be recorded is not shown.
        await self._record("codec.decode", request, caller, detail)
        return _answer(await self._translated(self._codec.decode, given))

    async def _encode(self, request: Request) -> Response:
        caller = await self._administrator(request)
        given = await self._payloads(request)
        await self._record("codec.encode", request, caller, {"payloads": len(given.payloads)})
        return _answer(await self._translated(self._codec.encode, given))

    async def _administrator(self, request: Request) -> Caller:
        """Raises `Unauthenticated`, `TooManyAttempts`, `Forbidden`."""
        address = request.client.host if request.client else ""
        ASKED.set(Asked(Verb.OPERATE, address=address, face="codec"))
        caller = await self._access.authenticate(_as_key(request.headers.get("authorization")))
        if not caller.is_admin or caller.only is not None:
            raise Forbidden("Payloads are decrypted for administrators")
        return caller

    async def _payloads(self, request: Request) -> Payloads:
        """Raises `InvalidRequest`, `BodyTooLarge`."""
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > self._max_body_bytes:
                raise BodyTooLarge
        return payloads_of(body)

    async def _translated(self, translate: Translate, given: Payloads) -> Payloads:
        try:
            return Payloads(payloads=await translate(given.payloads))
        except (PayloadKeyMissing, PayloadUnreadable) as error:
            raise InvalidRequest(error.message) from error

    async def _record(self, action: str, request: Request, caller: Caller, detail: dict[str, object]) -> None:
        namespace = "".join(c for c in request.headers.get(_NAMESPACE, "")[:LONGEST_NAME] if c.isprintable())
        async with self._db.transaction() as db:
            await record(db, Act(action, f"namespace:{namespace or '-'}", caller.user_id, detail=detail))


def _as_key(authorization: str | None) -> str | None:
    """A browser that was asked for a name and a password sends the key as the password (`Basic`)."""
    scheme, _, rest = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return authorization
    try:
        return f"Bearer {base64.b64decode(rest, validate=True).decode().partition(':')[2]}"
    except ValueError:  # no base64, or no text
        return authorization


def _answer(payloads: Payloads) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(json_format.MessageToJson(payloads), media_type="application/json", headers=headers)


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.http_status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="taskgate: any name, an administrator\'s key as the password"'
    body = {
        "type": _TYPE + error.code,
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.http_status,
        "detail": error.message,
    }
    return JSONResponse(body, error.http_status, headers, media_type="application/problem+json")


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `SystemExit` with a line when there are no keys."""
    codec = settings.payload_codec()
    if codec is None:
        raise SystemExit(
            "taskgate: TASKGATE_TEMPORAL_CODEC_KEYS (or …_FILE) is not set: there is nothing to decrypt with"
        )
    await check_database(settings.database_url)
    database = Database(settings.follow("database_url"), size=settings.database_pool_size)
    access = Access(database, failed_attempts=settings.failed_attempts_per_minute)
    try:
        server = CodecServer(
            database,
            access,
            codec,
            origins=settings.codec_origins,
            max_body_bytes=settings.max_body_bytes,
        )
        config = uvicorn.Config(
            server.app,
            host=settings.codec_host,
            port=settings.codec_port,
            forwarded_allow_ips=settings.trusted_proxies,
            log_config=None,
            access_log=False,
            server_header=False,
        )
        await uvicorn.Server(config).serve()
    finally:
        await access.close()
        await database.close()
