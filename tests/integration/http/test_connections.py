"""What clients may cost before the gateway knows what they want."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import resource
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.access.keys import create_key
from gateway.bootstrap import build_gateway
from gateway.http import connections
from gateway.settings import Settings
from gateway.storage.database import Database

HEAD = (
    "POST {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
    "Content-Length: {length}\r\n\r\n"
)
EPISODES = "/api/v1/episodes/"
DAGS = "/gateway/v1/dags/validate"


@pytest.fixture
def served(serve_http: Any, database: Database) -> Any:
    """Serves with the given settings: a gateway and its port."""

    def open_served(**settings: Any) -> Any:
        return serve_http(
            # At its end it waits no longer for bodies that do not come.
            build_gateway(
                Settings(database_url=database.url, grpc_enabled=False, drain_seconds=0.1, **settings), engines={}
            )
        )

    return open_served


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def ended(reader: asyncio.StreamReader) -> None:
    """Returns when the server has ended the connection; an answer may come before."""
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), 10)


async def ask(port: int, request: bytes) -> int:
    """The status of the answer to a request, or to the beginning of one."""
    reader, writer = await connect(port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    return int(answer.split()[1])


@pytest.mark.parametrize("path", [EPISODES, "/gateway/v1/tasks/batch", DAGS])
@pytest.mark.parametrize("length", [10, 8_000_000])
async def test_a_wrong_key_is_refused_without_its_body(served: Any, key: str, path: str, length: int) -> None:
    async with served() as port:
        assert await ask(port, HEAD.format(path=path, key=create_key(), length=length).encode()) == 401


@pytest.mark.parametrize(
    "beginning",
    [
        "",
        "POST /api/v1/epis",
        "GET /health HTTP/1.1\r\nHost: gateway\r\nX-Half: ",
        "\r\n" * 10,
        HEAD.format(path=EPISODES, key="KEY", length=1000) + '{"content": ',
        HEAD.format(path="/api/v1/other", key="KEY", length=1000) + '{"content": ',
        HEAD.format(path=EPISODES, key="ms_sk_none", length=10**12) + '{"content": ',
    ],
)
async def test_a_client_that_goes_quiet_is_cut(served: Any, key: str, beginning: str) -> None:
    async with served(client_seconds=0.5, upstream_url="http://127.0.0.1:9") as port:
        reader, writer = await connect(port)
        writer.write(beginning.replace("KEY", key).encode())
        await ended(reader)


async def test_a_client_that_sends_a_byte_now_and_then_is_cut(served: Any, key: str) -> None:
    async with served(client_seconds=0.5) as port:
        reader, writer = await connect(port)
        writer.write(HEAD.format(path=EPISODES, key=key, length=1000).encode())

        async def dribble() -> None:
            while True:
                writer.write(b" ")
                await asyncio.sleep(0.05)

        dribbling = asyncio.create_task(dribble())
        await ended(reader)
        dribbling.cancel()


async def test_a_stream_outlives_the_limit_of_slow_clients(served: Any, key: str) -> None:
    async with served(client_seconds=0.3) as port:
        reader, writer = await connect(port)
        writer.write(HEAD.format(path=EPISODES, key=key, length=24).encode() + b'{"content": "A met B." }')
        answer = await asyncio.wait_for(reader.readuntil(b"}"), 10)
        task_id = answer.split(b'"task_id":"')[1][:36].decode()
        path = f"/api/v1/tasks/{task_id}/stream"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        assert b"200" in await asyncio.wait_for(reader.readline(), 10)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(), 1.5)


@pytest.mark.parametrize("size", [400_000, 5_000_000])
async def test_a_large_header_is_refused(served: Any, key: str, size: int) -> None:
    async with served() as port:
        reader, writer = await connect(port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: gateway\r\nX-Large: ")
        answer = b""
        try:
            for _ in range(size // 50_000):
                writer.write(b"x" * 50_000)
                await writer.drain()
            answer = await asyncio.wait_for(reader.read(), 10)
        except ConnectionError:
            return
        if answer:
            head, _, body = answer.partition(b"\r\n\r\n")
            assert b"431" in head.splitlines()[0]
            assert json.loads(body) == {"detail": "The head of the request is too large"}


async def test_connections_have_a_limit_and_the_log_says_so_once(
    served: Any, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(max_connections=10) as port:
        kept = [await connect(port) for _ in range(9)]
        request = b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n"
        with caplog.at_level(logging.ERROR):
            assert await ask(port, request) == 503
        assert [record.message for record in caplog.records if record.name == connections.__name__] == [
            "more than 10 HTTP connections: requests are answered 503 (TASKGATE_MAX_CONNECTIONS)"
        ]
        caplog.clear()
        origin = {"Origin": "http://localhost:3000"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=origin) as client:
            for path in ("/api/v1/tasks/stats", "/gateway/v1/tasks"):
                refused = await client.get(path)
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                assert refused.json()["detail"] == "The gateway has too many connections; try again."
                assert refused.headers["access-control-allow-origin"] == origin["Origin"]
            preflight = await client.options("/gateway/v1/tasks", headers={"Access-Control-Request-Method": "POST"})
            assert preflight.status_code == 200
        kept += [await connect(port) for _ in range(101)]
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                reader, _ = await connect(port)
                await ended(reader)
        assert [record.message for record in caplog.records if record.name == connections.__name__] == [
            "more than 10 HTTP connections: further ones are refused (TASKGATE_MAX_CONNECTIONS)"
        ]
        for _, writer in kept:
            writer.close()


@pytest.fixture
async def half_sent() -> AsyncIterator[Any]:
    """Sends half a body; its connection stays open."""
    writers = []

    async def send(port: int, key: str) -> asyncio.StreamReader:
        reader, writer = await connect(port)
        writers.append(writer)
        writer.write(HEAD.format(path=EPISODES, key=key, length=1_000_000).encode() + b" " * 500_000)
        return reader

    yield send
    for writer in writers:
        writer.close()


async def test_unfinished_bodies_of_a_key_have_a_limit(
    served: Any, key: str, bob: dict[str, str], half_sent: Any
) -> None:
    bobs = bob["Authorization"].removeprefix("Bearer ")
    async with served(max_held_bytes_per_key=700_000) as port:
        readers = [await half_sent(port, key) for _ in range(2)]
        refused, waiting = await asyncio.wait(
            [asyncio.create_task(reader.readline()) for reader in readers],
            timeout=10,
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert [b" 429 " in task.result() for task in refused] == [True]
        body = b'{"content": "' + b"a" * 500_000 + b'"}'
        assert await ask(port, HEAD.format(path=EPISODES, key=bobs, length=len(body)).encode() + body) == 202
        for task in waiting:
            task.cancel()


async def test_all_unfinished_bodies_have_a_limit(served: Any, key: str, bob: dict[str, str], half_sent: Any) -> None:
    bobs = bob["Authorization"].removeprefix("Bearer ")
    async with served(max_held_bytes=700_000) as port:
        readers = [await half_sent(port, key), await half_sent(port, bobs)]
        refused, waiting = await asyncio.wait(
            [asyncio.create_task(reader.readline()) for reader in readers],
            timeout=10,
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert [b" 503 " in task.result() for task in refused] == [True]
        for task in waiting:
            task.cancel()


def test_connections_stay_below_the_limit_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert connections.most_connections(10_000) == 768
    assert connections.most_connections(500) == 500
