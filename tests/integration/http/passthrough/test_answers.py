"""The upstream's answer reaches the client unchanged."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest


async def test_an_answer_arrives_as_it_was_given(through: Any, upstream: Any) -> None:
    packed = gzip.compress(b"hello" * 100)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        cookies = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
        await upstream.reply(send, packed, 418, [(b"content-encoding", b"gzip"), *cookies])

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
async def test_answers_without_a_body(through: Any, upstream: Any, method: str, status: int) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"5")] if method == "HEAD" else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello" if method == "HEAD" else b""})

    upstream.answer = answer
    client = await through()
    for _ in range(3):
        got = await client.request(method, "/api/v1/search")
        assert (got.status_code, got.content) == (status, b"")


async def test_an_answer_is_streamed(through: Any, upstream: Any) -> None:
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


async def test_redirections_to_the_upstream_stay_at_the_gateway(through: Any, upstream: Any) -> None:
    locations = [b"http://%b/api/v1/x/?a=1", b"http://elsewhere/api/v1/x", b"http://%b@evil/x", b"/api/v1/y"]

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        host = dict(scope["headers"])[b"host"]
        await upstream.reply(send, b"", 307, [(b"location", locations[len(upstream.seen) - 1].replace(b"%b", host))])

    upstream.answer = answer
    client = await through()
    got = [(await client.get("/api/v1/x")).headers["location"] for _ in locations]
    assert got[0] == "/api/v1/x/?a=1"
    assert got[1] == "http://elsewhere/api/v1/x"
    assert got[2].endswith("@evil/x")
    assert got[3] == "/api/v1/y"


async def test_the_gateway_answers_for_other_origins_alone(through: Any, upstream: Any) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        cors = [(b"access-control-allow-origin", b"*"), (b"access-control-allow-credentials", b"true")]
        await upstream.reply(send, b"{}", headers=[*cors, (b"vary", b"Accept")])

    upstream.answer = answer
    client = await through(allowed_origins=["https://pages.example"])
    got = await client.get("/api/v1/search", headers={"Origin": "https://pages.example"})
    assert got.headers.get_list("access-control-allow-origin") == ["https://pages.example"]
    assert got.headers.get_list("access-control-allow-credentials") == ["true"]
    assert got.headers["vary"] == "Accept, Origin"
    got = await client.get("/api/v1/search", headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in got.headers
    preflight = {"Origin": "https://pages.example", "Access-Control-Request-Method": "PUT"}
    assert (await client.options("/api/v1/search", headers=preflight)).status_code == 200
    assert len(upstream.seen) == 2
