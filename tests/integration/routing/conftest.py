"""A small stand-in for LaunchDarkly: its streaming protocol (server-sent `put`, `patch`, `delete`), and its events.

And commands of `taskgate`, run against a database of the test's own.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import typer
from click.testing import Result
from typer.testing import CliRunner

from gateway.routing.flags import FlagSource
from gateway.storage.database import Database
from workers.testing.waiting import until


class LaunchDarklyServer:
    """Answers on a port of 127.0.0.1 while started; the port stays the same over restarts."""

    sdk_key = "sdk-stand-in"
    api_token = "api-stand-in"

    def __init__(self) -> None:
        self.flags: dict[str, dict[str, Any]] = {}
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.audit_log: list[dict[str, Any]] | None = []
        """The newest first; None: the REST API answers 500."""
        self.answers = True
        """False: connections are taken and nothing is ever said, as by a firewall."""
        self.has_flags = True
        """False: a stream begins, and no flag is sent."""
        self.is_broken = False
        """True: every request is answered 500."""
        self._port = 0
        self._server: asyncio.Server | None = None
        self._streams: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """As a crash: the port refuses, every open connection breaks."""
        if self._server is not None:
            self._server.close()
        for writer in self._connections:
            writer.transport.abort()
        self._server = None

    def put(self, flag: dict[str, Any]) -> None:
        """What a stream that begins now is given."""
        self.flags[flag["key"]] = flag

    async def patch(self, flag: dict[str, Any]) -> None:
        self.put(flag)
        await self._say("patch", {"path": f"/flags/{flag['key']}", "data": flag})

    async def delete(self, key: str, version: int) -> None:
        self.flags.pop(key, None)
        await self._say("delete", {"path": f"/flags/{key}", "version": version})

    async def event(self, kind: str) -> dict[str, Any]:
        """The next event of that kind, others are dropped."""
        while True:
            event = await self.events.get()
            if event["kind"] == kind:
                return event

    async def _say(self, name: str, data: dict[str, Any]) -> None:
        for writer in list(self._streams):
            await self._send(writer, name, data)

    async def _send(self, writer: asyncio.StreamWriter, name: str, data: dict[str, Any]) -> None:
        message = f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
        writer.write(f"{len(message):x}\r\n".encode() + message + b"\r\n")
        with suppress(ConnectionError):
            await writer.drain()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections.discard(writer)
            self._streams.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            method, path, _ = request.split()
            if not self.answers:
                await reader.read()
                return
            if self.is_broken:
                writer.write(b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n")
            elif path.startswith("/api/v2/auditlog?") and headers.get("authorization") == self.api_token:
                assert "flag%2Ftask-backend" in path
                body = json.dumps({"items": self.audit_log}).encode()
                status = "500 Broken" if self.audit_log is None else "200 OK"
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            elif headers.get("authorization") != self.sdk_key:
                writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
            elif (method, path) == ("GET", "/all"):
                # Chunked, as the real service: the SDK's reader waits for a full buffer otherwise.
                head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                writer.write(head)
                self._streams.add(writer)
                if self.has_flags:
                    await self._send(writer, "put", {"path": "/", "data": {"flags": self.flags, "segments": {}}})
                await writer.drain()
                await reader.read()
                return
            elif (method, path) == ("POST", "/bulk"):
                text = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
                for event in json.loads(text):
                    self.events.put_nowait(event)
                writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            else:
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()


async def connected(source: FlagSource) -> None:
    """Start it, and return when it has what LaunchDarkly says. A start itself waits for a second, and then goes on
    without: on a busy machine that is not long enough."""
    await source.start()
    await until(lambda: "LaunchDarkly is not connected" not in (source.problem() or ""))


@pytest_asyncio.fixture
async def launchdarkly() -> AsyncIterator[LaunchDarklyServer]:
    """A started stand-in without flags."""
    server = LaunchDarklyServer()
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def command_line(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Awaitable[Result]]:
    """Runs a command of an application, as `ada`; there are the tenants `acme` (enterprise, with the project `p1`),
    `initech` and `umbrella` (free), and a flag file that nobody has written yet."""
    await database.execute(
        "INSERT INTO users (id, email, name) VALUES ('u', 'u@example.org', 'u') ON CONFLICT DO NOTHING;"
        "INSERT INTO tenants (id, name, owner_id, plan) VALUES ('acme', 'Acme', 'u', 'Enterprise'),"
        " ('initech', 'Initech', 'u', 'free'), ('umbrella', 'Umbrella', 'u', 'free');"
        "INSERT INTO projects (id, tenant_id, name, owner_id) VALUES ('p1', 'acme', 'P', 'u')"
    )
    monkeypatch.setenv("TASKGATE_DATABASE_URL", database_url)
    monkeypatch.setenv("TASKGATE_FLAGS_FILE", str(tmp_path / "flags.json"))
    monkeypatch.setenv("TASKGATE_REDIS_URL", "redis://unused")
    monkeypatch.setenv("TASKGATE_TEMPORAL_ADDRESS", "unused:1")
    monkeypatch.delenv("TASKGATE_LAUNCHDARKLY_SDK_KEY", raising=False)
    monkeypatch.delenv("TASKGATE_API_KEY", raising=False)
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("USER", "ada")

    async def run(app: typer.Typer, *arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))

    return run
