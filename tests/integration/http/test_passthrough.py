"""Everything else under /api/v1 reaches the upstream unchanged, and its answer the client; over real connections."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from gateway.app import create_app
from gateway.bootstrap import build_gateway
from gateway.db import Database
from gateway.http.passthrough import Passthrough
from gateway.settings import Settings

App = Callable[[Any, Any, Any], Awaitable[None]]


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """Serve an application on a free port; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="off", proxy_headers=False, timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server._serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


class Upstream:
    """An upstream whose answers a test writes; `seen` holds the requests."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.answer: App = self.echo
        self.left = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        await self.answer(scope, receive, send)

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        told = {
            "method": scope["method"],
            "path": scope["raw_path"].decode(),
            "query": scope["query_string"].decode(),
            "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
            "body": len(body),
        }
        await reply(send, json.dumps(told).encode())


async def reply(send: Any, body: bytes, status: int = 200, headers: Any = ()) -> None:
    headers = [(b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def through(database: Database, upstream: Upstream) -> AsyncIterator[Callable[..., Awaitable[httpx.AsyncClient]]]:
    """Opens a client of a gateway in front of `upstream` (or of another address)."""
    async with AsyncExitStack() as stack:

        async def open_client(**settings: Any) -> httpx.AsyncClient:
            if "upstream_url" not in settings:
                settings["upstream_url"] = await stack.enter_async_context(served(upstream))
            gateway = build_gateway(Settings(database_url=database.url, **settings), engines={})
            stack.push_async_callback(gateway.close)
            url = await stack.enter_async_context(served(create_app(gateway)))
            return await stack.enter_async_context(httpx.AsyncClient(base_url=url))

        yield open_client


async def test_a_request_arrives_as_it_was_sent(through: Any) -> None:
    client = await through()
    url = httpx.URL(str(client.base_url)).copy_with(raw_path=b"/api/v1/a%2Fb/c%20d/%E2%82%AC?x=%00&y=1+2&y=&z")
    headers = [
        ("X-One", "1"),
        ("X-One", "2"),
        ("Authorization", "Bearer any"),
        ("X-Latin", "caf\xe9".encode("latin-1")),
    ]
    told = (await client.request("PATCH", url, headers=headers, content=b"x" * 100)).json()
    assert (told["method"], told["body"]) == ("PATCH", 100)
    assert told["path"] == "/api/v1/a%2Fb/c%20d/%E2%82%AC"
    assert told["query"] == "x=%00&y=1+2&y=&z"
    sent = [(name, value) for name, value in told["headers"] if name.startswith(("x-one", "auth", "x-latin"))]
    assert sent == [("x-one", "1"), ("x-one", "2"), ("authorization", "Bearer any"), ("x-latin", "caf\xe9")]


async def test_the_upstream_is_addressed_by_its_own_name(through: Any, upstream: Upstream) -> None:
    async with served(upstream) as url:
        client = await through(upstream_url=f"{url}/base/")
        told = (await client.get("/api/v1/search", headers={"X-Forwarded-For": "10.0.0.1"})).json()
    headers = dict(told["headers"])
    assert told["path"] == "/base/api/v1/search"
    assert headers["host"] == url.removeprefix("http://")
    assert headers["x-forwarded-host"] == f"{client.base_url.host}:{client.base_url.port}"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"


async def test_headers_of_one_connection_stay_there(through: Any, upstream: Upstream) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        hops = [(b"connection", b"x-hop"), (b"x-hop", b"1"), (b"keep-alive", b"timeout=9"), (b"x-end", b"1")]
        await reply(send, b"{}", headers=hops)

    upstream.answer = answer
    client = await through()
    headers = {"Connection": "x-private", "X-Private": "1", "TE": "trailers", "X-End": "1"}
    got = await client.get("/api/v1/search", headers=headers)
    names = {name for name, _ in upstream.seen[0]["headers"]}
    assert b"x-end" in names
    assert not names & {b"x-private", b"te", b"keep-alive"}
    assert got.headers["x-end"] == "1"
    assert not {"x-hop", "keep-alive"} & set(got.headers)
    assert len(got.headers.get_list("date")) == 1


async def test_an_answer_arrives_as_it_was_given(through: Any, upstream: Upstream) -> None:
    packed = gzip.compress(b"hello" * 100)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        cookies = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
        await reply(send, packed, 418, [(b"content-encoding", b"gzip"), *cookies])

    upstream.answer = answer
    client = await through()
    async with client.stream("GET", "/api/v1/search") as got:
        raw = b"".join([chunk async for chunk in got.aiter_raw()])
    assert (got.status_code, raw) == (418, packed)
    assert got.headers.get_list("set-cookie") == ["a=1", "b=2"]
    client.cookies.clear()
    await client.get("/api/v1/search")
    assert not [value for name, value in upstream.seen[1]["headers"] if name == b"cookie"]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("DELETE", 204), ("GET", 304)])
async def test_answers_without_a_body(through: Any, upstream: Upstream, method: str, status: int) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"5")] if method == "HEAD" else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello" if method == "HEAD" else b""})

    upstream.answer = answer
    client = await through()
    for _ in range(3):
        got = await client.request(method, "/api/v1/search")
        assert (got.status_code, got.content) == (status, b"")


async def test_an_answer_is_streamed(through: Any, upstream: Upstream) -> None:
    go_on = asyncio.Event()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"second"})

    upstream.answer = answer
    client = await through()
    async with client.stream("GET", "/api/v1/events") as got:
        chunks = got.aiter_raw()
        assert await anext(chunks) == b"first"
        go_on.set()
        assert b"".join([chunk async for chunk in chunks]) == b"second"


async def test_a_body_is_streamed_and_has_no_limit(through: Any, upstream: Upstream) -> None:
    arrived = asyncio.Event()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        first = await receive()
        arrived.set()
        size = len(first["body"])
        while first["more_body"]:
            first = await receive()
            size += len(first["body"])
        await reply(send, str(size).encode())

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await asyncio.wait_for(arrived.wait(), 10)
        for _ in range(20):
            yield b"x" * 1000

    upstream.answer = answer
    client = await through(max_body_bytes=1024)
    assert (await client.post("/api/v1/files", content=body())).text == "21000"
    headers = {"Content-Length": "21000"}
    arrived.clear()
    assert (await client.post("/api/v1/files", content=body(), headers=headers)).text == "21000"


async def test_a_client_that_leaves_ends_the_upstreams_work(through: Any, upstream: Upstream) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        upstream.left.set()

    upstream.answer = answer
    client = await through()
    async with client.stream("GET", "/api/v1/events") as got:
        await anext(got.aiter_raw())
    await asyncio.wait_for(upstream.left.wait(), 10)


async def test_a_client_that_leaves_before_the_answer(through: Any, upstream: Upstream) -> None:
    asked = asyncio.Event()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        upstream.left.set()

    upstream.answer = answer
    client = await through()
    request = asyncio.create_task(client.post("/api/v1/slow", content=b"x"))
    await asyncio.wait_for(asked.wait(), 10)
    request.cancel()
    await asyncio.wait_for(upstream.left.wait(), 10)


@pytest.mark.parametrize("url", ["memstack:8000", "ftp://memstack", "http://", "/api"])
def test_an_upstream_that_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="TASKGATE_UPSTREAM_URL"):
        Passthrough(url, timeout=1)


async def test_an_upstream_that_is_away(through: Any) -> None:
    client = await through(upstream_url="http://127.0.0.1:1")
    answer = await client.post("/api/v1/search", json={})
    assert answer.status_code == 502
    assert answer.json()["detail"]


async def test_an_upstream_that_does_not_answer(through: Any, upstream: Upstream) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    upstream.answer = answer
    client = await through(passthrough_timeout_seconds=0.05)
    answered = await client.get("/api/v1/search")
    assert answered.status_code == 504
    assert answered.json()["detail"]


async def test_an_upstream_that_breaks_off(through: Any, upstream: Upstream) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})

    upstream.answer = answer
    client = await through()
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/api/v1/search")


async def test_no_upstream(through: Any) -> None:
    client = await through(upstream_url=None)
    for method in ("GET", "POST", "OPTIONS"):
        answer = await client.request(method, "/api/v1/search")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


async def test_redirections_to_the_upstream_stay_at_the_gateway(through: Any, upstream: Upstream) -> None:
    locations = [b"http://%b/api/v1/x/?a=1", b"http://elsewhere/api/v1/x", b"http://%b@evil/x", b"/api/v1/y"]

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        host = dict(scope["headers"])[b"host"]
        await reply(send, b"", 307, [(b"location", locations[len(upstream.seen) - 1].replace(b"%b", host))])

    upstream.answer = answer
    client = await through()
    got = [(await client.get("/api/v1/x")).headers["location"] for _ in locations]
    assert got[0] == "/api/v1/x/?a=1"
    assert got[1] == "http://elsewhere/api/v1/x"
    assert got[2].endswith("@evil/x")
    assert got[3] == "/api/v1/y"


@pytest.mark.parametrize(
    ("method", "path", "goes_upstream"),
    [
        ("GET", "/api/v1/episodes/", True),
        ("GET", "/api/v1/episodes/some-name", True),
        ("DELETE", "/api/v1/memories/m1", True),
        ("GET", "/api/v1/memories/?project_id=p", True),
        ("OPTIONS", "/api/v1/episodes/", True),
        ("GET", "/api/v1/communities/", True),
        ("GET", "/api/v1/maintenance/status", True),
        ("POST", "/api/v1/maintenance/invalidate-edges", True),
        ("GET", "/api/v1", True),
        ("GET", "/api/v1/tasksets", True),
        ("POST", "/api/v1/episodes/", False),
        ("POST", "/api/v1/episodes", False),
        ("GET", "/api/v1/tasks/unknown/more", False),
        ("PUT", "/api/v1/tasks/stats", False),
        ("GET", "/api/v10/search", False),
        ("GET", "/other", False),
        ("GET", "/api/v1/x/../tasks/stats", False),
        ("GET", "/api/v1/x/%2e%2e/tasks/stats", False),
        ("GET", "/api/v1/x%2F..%2Ftasks%2Fstats", False),
        ("GET", "/api/v1//tasks/stats", False),
        ("GET", "/api/v1/../internal", False),
        ("GET", "/api/v1/%74asks/stats", False),
    ],
)
async def test_whose_paths(through: Any, upstream: Upstream, method: str, path: str, goes_upstream: bool) -> None:
    client = await through()
    url = httpx.URL(str(client.base_url)).copy_with(raw_path=path.encode())
    request = httpx.Request(method, url, extensions={"target": path.encode()})
    answer = await client.send(request)
    assert bool(upstream.seen) == goes_upstream, answer.text
    if not goes_upstream:
        assert answer.status_code in (307, 401, 404, 405)


async def test_an_idle_connection_that_closes_just_then(through: Any) -> None:
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        if len(connections) == 1:
            # Keeps the connection, and drops it as the next request comes.
            await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = await through(upstream_url=f"http://127.0.0.1:{port}")
        assert (await client.get("/api/v1/a")).status_code == 200
        assert (await client.get("/api/v1/b")).status_code == 200
    assert len(connections) == 2
