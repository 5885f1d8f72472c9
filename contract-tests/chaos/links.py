"""A link of its own between each side and each server, which a fault may cut, slow or lead elsewhere."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.ports import free_port
from deploy.local.stack import EmbeddedStack
from deploy.local.toxiproxy import ToxiproxyPart
from faulty_link import FaultyLink

SIDES = ("gateway", "worker")
SERVERS = {
    "postgres": "TASKGATE_DATABASE_URL",
    "redis": "TASKGATE_REDIS_URL",
    "temporal": "TASKGATE_TEMPORAL_ADDRESS",
}


class Links:
    """The links by name: `gateway-postgres` and so on."""

    def __init__(self, directory: Path) -> None:
        self.proxy = ToxiproxyPart(directory, free_port(), lambda _: None)
        self.faulty: dict[str, FaultyLink] = {}
        """By the name of its link, between that and the server."""
        self._addresses: dict[str, str] = {}
        """Of each link, as the environment names the server."""
        self._deck: list[str] = []

    async def open(self, stack: EmbeddedStack) -> None:
        """Of several Temporal servers each side has another."""
        await self.proxy.start()
        nodes = stack.temporal_nodes
        for number, side in enumerate(SIDES):
            direct = stack.environment() | {SERVERS["temporal"]: nodes[number % len(nodes)].url}
            for server, variable in SERVERS.items():
                address = urlsplit(direct[variable] if "://" in direct[variable] else f"//{direct[variable]}")
                assert address.hostname is not None
                assert address.port is not None
                upstream, name = f"{address.hostname}:{address.port}", f"{side}-{server}"
                self.faulty[name] = FaultyLink(address.hostname, address.port)
                await self.faulty[name].open()
                listens = await self.proxy.link(name, f"127.0.0.1:{self.faulty[name].port}")
                self._addresses[name] = direct[variable].replace(upstream, listens)

    async def close(self) -> None:
        await asyncio.gather(*(link.close() for link in self.faulty.values()))

    def environment(self, side: str) -> dict[str, str]:
        """The variables that lead one side to its servers."""
        return {variable: self._addresses[f"{side}-{server}"] for server, variable in SERVERS.items()}

    def next(self, chance: random.Random) -> str:
        """The name of one; each comes before any comes again."""
        self._deck = self._deck or chance.sample(sorted(self._addresses), len(self._addresses))
        return self._deck.pop()
