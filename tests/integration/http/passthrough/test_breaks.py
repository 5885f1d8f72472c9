"""An upstream that is away or breaks off, and clients that leave."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest


async def test_an_upstream_that_is_away(through: Any) -> None:
    client = await through(upstream_url="http://127.0.0.1:1")
    answer = await client.post("/api/v1/search", json={})
    assert answer.status_code == 502
    assert answer.json()["detail"]


async def test_an_upstream_that_does_not_answer(through: Any, upstream: Any) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    upstream.answer = answer
    client = await through(passthrough_timeout_seconds=0.05)
    answered = await client.get("/api/v1/search")
    assert answered.status_code == 504
    assert answered.json()["detail"]


async def test_an_upstream_that_breaks_off(through: Any, upstream: Any) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})

    upstream.answer = answer
    client = await through()
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/api/v1/search")


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


async def test_a_client_that_leaves_ends_the_upstreams_work(through: Any, upstream: Any) -> None:
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


async def test_a_client_that_leaves_before_the_answer(through: Any, upstream: Any) -> None:
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


async def test_what_the_upstream_fails_at_is_no_failure_of_the_gateway(
    through: Any, upstream: Any, gateways: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(scope: Any, receive: Any, send: Any) -> None:
        await upstream.reply(send, b"{}", status=503 if scope["path"].endswith("/away") else 500)

    async def hang(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    upstream.answer = fail
    client = await through(passthrough_timeout_seconds=0.3)
    statuses = [(await client.post(f"/api/v1/{path}", json={})).status_code for path in ("search", "away")]
    upstream.answer = hang
    statuses.append((await client.post("/api/v1/search", json={})).status_code)
    assert statuses == [500, 503, 504]
    assert _requests(gateways[0]) == {"answered": 3, "failed": 0}

    def break_down(self: Any, *_: Any) -> None:
        raise RuntimeError("a fault of the gateway's own")

    monkeypatch.setattr("gateway.http.passthrough.Passthrough._request_headers", break_down)
    # The server under the test's gateway is told of it, too; its client gets the 500.
    assert (await client.post("/api/v1/search", json={})).status_code == 500
    assert _requests(gateways[0]) == {"answered": 3, "failed": 1}


def _requests(gateway: Any) -> dict[str, float]:
    page = gateway.telemetry.metrics.render().decode()
    found = re.findall(r'^taskgate_requests_total\{face="http",outcome="(\w+)"\} (\S+)', page, re.MULTILINE)
    return {outcome: float(number) for outcome, number in found}
