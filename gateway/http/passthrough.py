"""Everything under /api/v1 that is not the gateway's goes to the MemStack API server unchanged (contract §4).

Bodies are streamed both ways and never held; the upstream checks keys itself. Path and query travel as the client
wrote them, byte for byte.
"""

from __future__ import annotations

import asyncio
import logging
import posixpath
from collections.abc import AsyncIterator, Iterable
from urllib.parse import quote

import httpx
import orjson
from starlette.types import Message, Receive, Scope, Send

from gateway.http.request_counts import RELAYED

log = logging.getLogger(__name__)

#: Headers of one connection (RFC 9110 §7.6.1), which a proxy does not pass on; `Connection` may name more.
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade".split()
)
#: These are made anew here, or by the server in front of this.
_OWN_REQUEST_HEADERS = frozenset(
    b"host expect content-length forwarded x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port "
    b"x-forwarded-prefix x-forwarded-server x-real-ip".split()
)
_OWN_ANSWER_HEADERS = frozenset((b"date", b"access-control-allow-origin", b"access-control-allow-credentials"))
_REPEATABLE = frozenset(("GET", "HEAD", "OPTIONS"))

_CONNECT_SECONDS = 5.0
#: Shorter than the 5 s after which common servers drop an idle connection, so that none is used as it closes.
_IDLE_SECONDS = 4.0

Headers = list[tuple[bytes, bytes]]


class _ClientGone(Exception):
    """The client went away before its body was complete."""


class Passthrough:
    """An ASGI application that answers with what the upstream answers; 404 without an upstream."""

    def __init__(self, upstream_url: str | None, *, timeout: float) -> None:
        """`timeout`: the longest wait for the upstream's next bytes, in seconds. Raises `ValueError` for a bad URL."""
        self._upstream = httpx.URL(upstream_url.rstrip("/")) if upstream_url else None
        if self._upstream is not None and not (self._upstream.scheme in ("http", "https") and self._upstream.host):
            raise ValueError(f"TASKGATE_UPSTREAM_URL is not an http or https URL: {upstream_url!r}")
        self._timeouts = {"connect": _CONNECT_SECONDS, "read": timeout, "write": timeout, "pool": None}
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "TRACE":
            await _answer(send, 405, "Method Not Allowed")
            return
        if _is_ambiguous(scope.get("raw_path") or b""):
            await _answer(send, 400, "Paths with ;, encoded dots or NUL characters are refused")
            return
        if self._upstream is None or not _stays_inside(scope["path"]):
            await _answer(send, 404, "Not Found")
            return
        body = _Body(receive)
        exchange = asyncio.create_task(self._exchange(self._upstream, scope, body, send))
        watch = asyncio.create_task(_wait_for_disconnect(receive, body))
        try:
            await asyncio.wait((exchange, watch), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Whichever is still under way is of no use: the client left, or has its answer.
            watch.cancel()
            exchange.cancel()
            await asyncio.gather(watch, exchange, return_exceptions=True)
        if not exchange.cancelled() and (error := exchange.exception()) is not None:
            raise error

    async def close(self) -> None:
        if self._transport is not None:
            await self._transport.aclose()
            self._transport = None

    async def _exchange(self, upstream: httpx.URL, scope: Scope, body: _Body, send: Send) -> None:
        try:
            response = await self._request(upstream, scope, body)
        except _ClientGone:
            return
        except httpx.TimeoutException as error:
            log.warning("no answer from the upstream to %s: %s", scope["method"], type(error).__name__)
            await _answer(send, 504, "The MemStack API server behind the gateway did not answer in time.")
            return
        except httpx.TransportError as error:
            log.warning("no answer from the upstream to %s: %s", scope["method"], type(error).__name__)
            await _answer(send, 502, "The MemStack API server behind the gateway does not answer.")
            return
        scope[RELAYED] = True
        try:
            headers = self._answer_headers(upstream, response.headers.raw)
            await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
            async for chunk in _stream(response):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except httpx.TransportError as error:
            # The status line is out: only a broken connection tells the client that this is not all.
            log.warning("the upstream broke off its answer: %s", type(error).__name__)
            return
        finally:
            await response.aclose()
        await send({"type": "http.response.body", "body": b""})

    async def _request(self, upstream: httpx.URL, scope: Scope, body: _Body) -> httpx.Response:
        target = scope.get("raw_path") or quote(scope["path"]).encode()
        target = upstream.raw_path.rstrip(b"/") + target
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        headers, has_body = self._request_headers(upstream, scope)

        def request() -> httpx.Request:
            return httpx.Request(
                scope["method"],
                upstream,
                headers=headers,
                stream=body if has_body else _NOTHING,
                extensions={"timeout": self._timeouts, "target": target},
            )

        if self._transport is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=50, keepalive_expiry=_IDLE_SECONDS)
            self._transport = httpx.AsyncHTTPTransport(limits=limits)
        if not has_body:
            body.finished.set()
        try:
            return await self._transport.handle_async_request(request())
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            # An idle connection that the upstream closed just now. Only what is safe to ask twice is asked again.
            if has_body or scope["method"] not in _REPEATABLE:
                raise
        return await self._transport.handle_async_request(request())

    def _request_headers(self, upstream: httpx.URL, scope: Scope) -> tuple[Headers, bool]:
        """The headers to send on, and whether a body comes with them."""
        named = {name: value for name, value in scope["headers"]}
        headers: Headers = [(b"host", upstream.netloc)]
        headers += _end_to_end(scope["headers"], _OWN_REQUEST_HEADERS)
        # As the connection tells (or a proxy in front that uvicorn trusts); not what a client claims of itself.
        if client := (scope.get("client") or ("",))[0].encode():
            headers += [(b"x-forwarded-for", client), (b"x-real-ip", client)]
        if b"host" in named:
            headers.append((b"x-forwarded-host", named[b"host"]))
        headers.append((b"x-forwarded-proto", scope.get("scheme", "http").encode()))
        if b"transfer-encoding" in named:
            headers.append((b"transfer-encoding", b"chunked"))
            return headers, True
        if (length := named.get(b"content-length")) is not None:
            headers.append((b"content-length", length))
            return headers, length.strip(b"0") != b""
        return headers, False

    def _answer_headers(self, upstream: httpx.URL, raw: Headers) -> Headers:
        """The upstream's headers; a redirection to the upstream itself stays at the gateway."""
        own = f"{upstream.scheme}://{upstream.netloc.decode()}{upstream.raw_path.decode().rstrip('/')}".encode()
        headers = []
        for name, value in _end_to_end(raw, _OWN_ANSWER_HEADERS):
            if name.lower() == b"location" and value.startswith(own) and value[len(own) :][:1] in (b"", b"/", b"?"):
                value = value[len(own) :] or b"/"
            headers.append((name, value))
        return headers


class _Body(httpx.AsyncByteStream):
    """The client's body, as it comes."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.finished = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message: Message = await self._receive()
            if message["type"] == "http.disconnect":
                raise _ClientGone
            more = message.get("more_body", False)
            if chunk := message.get("body", b""):
                yield chunk
        self.finished.set()


class _Nothing(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        return
        yield b""


_NOTHING = _Nothing()


async def _wait_for_disconnect(receive: Receive, body: _Body) -> None:
    await body.finished.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _stream(response: httpx.Response) -> AsyncIterator[bytes]:
    """The bytes as the upstream sent them, still compressed if it compressed them."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    async for chunk in response.stream:
        yield chunk


def _end_to_end(headers: Iterable[tuple[bytes, bytes]], without: frozenset[bytes]) -> Headers:
    headers = list(headers)
    hops = {
        token.strip().lower() for name, value in headers if name.lower() == b"connection" for token in value.split(b",")
    }
    return [(n, v) for n, v in headers if n.lower() not in _HOP_BY_HOP and n.lower() not in without | hops]


def _is_ambiguous(raw_path: bytes) -> bool:
    """Servers differ in what they take these for, so what was checked here may not be what is served there."""
    lowered = raw_path.lower()
    return any(part in lowered for part in (b";", b"%3b", b"%2e", b"%00"))


def _stays_inside(path: str) -> bool:
    """No dot segments that lead out of /api/v1, or to the tasks, whose only door is the gateway's own (A1)."""
    resolved = posixpath.normpath("/" + path.replace("\\", "/").lstrip("/"))
    return (resolved + "/").startswith("/api/v1/") and not (resolved + "/").startswith("/api/v1/tasks/")


async def _answer(send: Send, status: int, detail: str) -> None:
    content = orjson.dumps({"detail": detail})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
