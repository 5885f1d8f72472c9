"""Toxiproxy, a proxy that cuts, slows and hangs connections, for tests of faults: from PATH, else built once by Go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from deploy.local.builds import Report
from deploy.local.go_program import GoProgram, GoProgramPart
from deploy.local.ports import free_port
from deploy.local.process import Command
from deploy.local.versions import pinned

PROGRAM = GoProgram(
    "toxiproxy",
    "toxiproxy-server",
    "github.com/Shopify/toxiproxy/v2",
    lambda: pinned().toxiproxy,
    "install Go to build it, or put toxiproxy-server on PATH",
)


class ToxiproxyPart(GoProgramPart):
    """One process with any number of links, each a port of its own in front of one server."""

    def __init__(self, directory: Path, port: int, report: Report, *, name: str = "toxiproxy") -> None:
        super().__init__(PROGRAM, name, directory, port, report)

    async def command(self) -> Command:
        """Its links are made over HTTP."""
        return Command([str(await self.program()), "-host", "127.0.0.1", "-port", str(self.port)])

    async def healthy(self) -> bool:
        """Whether its API answers."""
        try:
            return (await self._call("GET", "/version")).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    async def link(self, name: str, upstream: str) -> str:
        """Makes the link `name` to `upstream` (`host:port`); returns its own `host:port`."""
        listen = f"127.0.0.1:{free_port()}"
        await self._done("POST", "/proxies", {"name": name, "listen": listen, "upstream": upstream, "enabled": True})
        return listen

    @asynccontextmanager
    async def cut(self, name: str) -> AsyncIterator[None]:
        """Every connection of the link is closed, and new ones are refused, until the block ends."""
        await self._done("POST", f"/proxies/{name}", {"enabled": False})
        try:
            yield
        finally:
            await self._done("POST", f"/proxies/{name}", {"enabled": True})

    @asynccontextmanager
    async def hung(self, name: str) -> AsyncIterator[None]:
        """Until the block ends nothing gets through and no connection closes; then all close."""
        async with self._toxic(name, "timeout", {"timeout": 0}):
            yield

    @asynccontextmanager
    async def swallowed(self, name: str) -> AsyncIterator[None]:
        """Requests arrive, answers do not, and nothing is closed, until the block ends; then the connections close."""
        async with self._toxic(name, "timeout", {"timeout": 0}, streams=("downstream",)):
            yield

    @asynccontextmanager
    async def led_to(self, name: str, upstream: str) -> AsyncIterator[None]:
        """The link leads to another server (`host:port`) until the block ends; connections close both times."""
        before = (await self._call("GET", f"/proxies/{name}")).raise_for_status().json()["upstream"]
        await self._done("POST", f"/proxies/{name}", {"upstream": upstream})
        try:
            yield
        finally:
            await self._done("POST", f"/proxies/{name}", {"upstream": before})

    @asynccontextmanager
    async def _toxic(
        self,
        name: str,
        kind: str,
        attributes: Mapping[str, int],
        *,
        streams: tuple[str, ...] = ("upstream", "downstream"),
    ) -> AsyncIterator[None]:
        for stream in streams:
            toxic = {"name": f"{kind}-{stream}", "type": kind, "stream": stream, "attributes": attributes}
            await self._done("POST", f"/proxies/{name}/toxics", toxic)
        try:
            yield
        finally:
            for stream in streams:
                await self._done("DELETE", f"/proxies/{name}/toxics/{kind}-{stream}")

    async def _done(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        (await self._call(method, path, body)).raise_for_status()

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            return await client.request(method, f"{self.url}{path}", json=body)
