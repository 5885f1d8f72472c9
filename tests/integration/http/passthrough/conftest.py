"""An upstream that a test writes, and a gateway in front of it, over real connections."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from gateway.app import create_app
from gateway.bootstrap import Gateway, build_gateway
from gateway.settings import Settings
from gateway.storage.database import Database

App = Callable[[Any, Any, Any], Awaitable[None]]


@asynccontextmanager
async def serve_app(app: Any) -> AsyncIterator[str]:
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
        await self.reply(send, json.dumps(told).encode())

    @staticmethod
    async def reply(send: Any, body: bytes, status: int = 200, headers: Any = ()) -> None:
        """Send a whole answer."""
        headers = [(b"content-length", str(len(body)).encode()), *headers]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def served() -> Callable[[Any], Any]:
    """Serves an application on a free port; its URL."""
    return serve_app


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def gateways() -> list[Gateway]:
    """Those of the clients that `through` has opened."""
    return []


@pytest.fixture
async def through(
    database: Database, upstream: Upstream, gateways: list[Gateway]
) -> AsyncIterator[Callable[..., Awaitable[httpx.AsyncClient]]]:
    """Opens a client of a gateway in front of `upstream` (or of another address)."""
    async with AsyncExitStack() as stack:

        async def open_client(**settings: Any) -> httpx.AsyncClient:
            if "upstream_url" not in settings:
                settings["upstream_url"] = await stack.enter_async_context(serve_app(upstream))
            gateway = build_gateway(Settings(database_url=database.url, **settings), engines={})
            stack.push_async_callback(gateway.close)
            gateways.append(gateway)
            url = await stack.enter_async_context(serve_app(create_app(gateway)))
            return await stack.enter_async_context(httpx.AsyncClient(base_url=url))

        yield open_client
