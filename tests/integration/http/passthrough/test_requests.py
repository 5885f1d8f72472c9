"""Everything else under /api/v1 reaches the upstream unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx

CLAIMS = {
    "Forwarded": "for=10.0.0.1",
    "X-Forwarded-For": "10.0.0.1",
    "X-Forwarded-Host": "inside",
    "X-Forwarded-Proto": "https",
    "X-Real-IP": "10.0.0.1",
}


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


async def test_the_upstream_is_addressed_by_its_own_name(through: Any, served: Any, upstream: Any) -> None:
    async with served(upstream) as url:
        client = await through(upstream_url=f"{url}/base/")
        told = (await client.get("/api/v1/search", headers=CLAIMS)).json()
    headers = dict(told["headers"])
    assert told["path"] == "/base/api/v1/search"
    assert headers["host"] == url.removeprefix("http://")
    assert headers["x-forwarded-host"] == f"{client.base_url.host}:{client.base_url.port}"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-for"] == headers["x-real-ip"] == "127.0.0.1"
    assert "forwarded" not in headers


async def test_headers_of_one_connection_stay_there(through: Any, upstream: Any) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        hops = [(b"connection", b"x-hop"), (b"x-hop", b"1"), (b"keep-alive", b"timeout=9"), (b"x-end", b"1")]
        await upstream.reply(send, b"{}", headers=hops)

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


async def test_a_body_is_streamed_and_has_no_limit(through: Any, upstream: Any) -> None:
    arrived = asyncio.Event()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        first = await receive()
        arrived.set()
        size = len(first["body"])
        while first["more_body"]:
            first = await receive()
            size += len(first["body"])
        await upstream.reply(send, str(size).encode())

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
