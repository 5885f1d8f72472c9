"""Behind a proxy that ends TLS: what it says of the client is believed when its address is among the trusted ones."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trustme

from gateway.bootstrap import build_gateway
from gateway.settings import Settings
from gateway.storage.database import Database

CLIENT = "203.0.113.7"


@asynccontextmanager
async def tls_proxy(port: int) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a proxy in front of a port, which takes one request a connection and names the client `CLIENT`."""
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        said = f"X-Forwarded-For: {CLIENT}\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n".encode()
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        up_writer.write(head[:-2].replace(b"Connection: keep-alive\r\n", b"") + said)
        writer.write(await up_reader.read())
        await writer.drain()
        writer.close()
        up_writer.close()

    server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=server_context)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    async with server, httpx.AsyncClient(base_url=url, verify=client_context) as client:
        yield client


@pytest.fixture
async def behind(serve_http: Any, served: Any, upstream: Any, database: Database) -> Any:
    @asynccontextmanager
    async def open_client(trusted: list[str]) -> AsyncIterator[httpx.AsyncClient]:
        async with served(upstream) as url:
            settings = Settings(
                database_url=database.url, grpc_enabled=False, upstream_url=url, trusted_proxies=trusted
            )
            gateway = build_gateway(settings, engines={})
            async with serve_http(gateway) as port, tls_proxy(port) as client:
                yield client

    return open_client


@pytest.mark.parametrize(
    ("trusted", "seen"),
    [
        (["127.0.0.1"], (CLIENT, "https")),
        (["127.0.0.0/8"], (CLIENT, "https")),
        (["*"], (CLIENT, "https")),
        (["198.51.100.1"], ("127.0.0.1", "http")),
        ([], ("127.0.0.1", "http")),
    ],
)
async def test_what_a_proxy_says_is_believed_when_it_is_trusted(
    behind: Any, trusted: list[str], seen: tuple[str, str]
) -> None:
    async with behind(trusted) as client:
        headers = dict((await client.get("/api/v1/search")).json()["headers"])
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == seen


@pytest.mark.parametrize("trusted", [["127.0.0.1"], []])
async def test_a_redirection_stays_with_tls(behind: Any, key: str, trusted: list[str]) -> None:
    async with behind(trusted) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        answer = await client.get("/api/v1/tasks", follow_redirects=True)
    assert [step.status_code for step in (*answer.history, answer)] == [307, 200]
    assert answer.url.scheme == "https"
