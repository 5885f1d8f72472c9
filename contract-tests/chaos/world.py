"""The system under test: real servers, two gateways, two workers per backend, and a link between each pair."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import redis.asyncio

from backends.port import WorkflowEnginePort
from backends.redis_queue.engine import RedisQueueEngine
from backends.temporal.engine import TemporalEngine
from deploy.local import taskgate
from deploy.local.env import parse_env
from deploy.local.ports import free_port
from deploy.local.stack import EmbeddedStack
from deploy.local.toxiproxy import ToxiproxyPart
from processes import Program, Service

TENANTS = ("acme", "globex", "initech", "umbrella")
HERE = Path(__file__).resolve().parent
LEGACY_WORKER = HERE.parent / "legacy" / "worker.py"
#: The legacy system has 60 for both: the pause of its recovery loop, and the age at which it takes a PENDING row.
LEGACY_SECONDS = os.environ.get("LEGACY_SECONDS", "2")
SIDES = ("gateway", "worker")
SERVERS = {
    "postgres": "TASKGATE_DATABASE_URL",
    "redis": "TASKGATE_REDIS_URL",
    "temporal": "TASKGATE_TEMPORAL_ADDRESS",
}


class World:
    """Everything that a fault may strike, and the ways to look at it in the end."""

    def __init__(self, directory: Path, *, fenced: bool, temporal_servers: int = 1, legacy_workers: int = 0) -> None:
        self.directory = directory
        self.stack = EmbeddedStack(directory, ("postgres", "redis", "temporal"), ports="free")
        self.effects = directory / "effects.jsonl"
        self.kills: dict[int, float] = {}
        self.keys: dict[str, str] = {}
        self.gateways: list[Service] = []
        self.gateway_urls: list[str] = []
        self.grpc_addresses: list[str] = []
        self.workers: list[Service] = []
        self.legacy: list[Program] = []
        self.proxy = ToxiproxyPart(directory, free_port(), lambda _: None)
        self.links: dict[str, str] = {}
        """`gateway-postgres` and so on: the address of each link, as the environment names the server."""
        self._legacy_workers = legacy_workers
        self._deck: list[str] = []
        self._fenced = fenced
        self._temporal_servers = temporal_servers

    async def start(self) -> None:
        self.effects.touch()
        await self.stack.start()
        for _ in range(self._temporal_servers - 1):
            await self.stack.add_temporal_node()
        await self._link()
        environment = self.environment()
        await taskgate.run("db", "legacy", "--create", environment=environment)
        await taskgate.run("db", "migrate", environment=environment)
        self.keys = parse_env(await taskgate.run("db", "seed", environment=environment))
        for number in range(2):
            port, grpc_port = free_port(), free_port()
            self.gateway_urls.append(f"http://127.0.0.1:{port}")
            self.grpc_addresses.append(f"127.0.0.1:{grpc_port}")
            more = {"TASKGATE_HTTP_PORT": str(port), "TASKGATE_GRPC_PORT": str(grpc_port)}
            self.gateways.append(self._service(f"gateway-{number}", ["serve"], "gateway", **more))
        for backend in ("redis", "temporal"):
            for number in range(2):
                name, arguments = f"worker-{backend}-{number}", ["worker", "--backend", backend]
                self.workers.append(self._service(name, arguments, "worker", CHAOS_WORKER=backend))
        for number in range(self._legacy_workers):
            self.legacy.append(self._legacy(f"legacy-{number}"))
        await asyncio.gather(*(program.start() for program in [*self.gateways, *self.workers, *self.legacy]))
        await asyncio.gather(*(self._healthy(url) for url in self.gateway_urls))

    def environment(self) -> dict[str, str]:
        return {
            **self.stack.environment(),
            "TASKGATE_HANDLERS": "probe",
            "TASKGATE_LEASE_SECONDS": "3",
            "TASKGATE_WORKER_SLOTS": "20",
            "TASKGATE_FENCE_ENABLED": str(self._fenced).lower(),
            "TASKGATE_LOG_LEVEL": "INFO",
            "CHAOS_EFFECTS": str(self.effects),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH")))),
        }

    def _service(self, name: str, arguments: list[str], side: str, **more: str) -> Service:
        links = {variable: self.links[f"{side}-{server}"] for server, variable in SERVERS.items()}
        environment = {**self.environment(), **links, **more}
        return Service(name, arguments, environment, self.directory / f"{name}.log", self.kills)

    def _legacy(self, name: str) -> Program:
        """An unmodified legacy worker, as superuser of the database; nothing of it passes a link."""
        servers = ["--redis", self.stack.redis_url, "--database", self.stack.database_url, "--handlers", "probe"]
        pauses = ["--recovery-seconds", LEGACY_SECONDS, "--stale-seconds", LEGACY_SECONDS]
        argv = [sys.executable, str(LEGACY_WORKER), *servers, *pauses]
        return Program(argv, {**self.environment(), "CHAOS_WORKER": "legacy"}, self.directory / f"{name}.log")

    async def _link(self) -> None:
        """A link of its own between each side and each server."""
        await self.proxy.start()
        direct = self.stack.environment()
        for side in SIDES:
            for server, variable in SERVERS.items():
                address = urlsplit(direct[variable] if "://" in direct[variable] else f"//{direct[variable]}")
                upstream = f"{address.hostname}:{address.port}"
                listens = await self.proxy.link(f"{side}-{server}", upstream)
                self.links[f"{side}-{server}"] = direct[variable].replace(upstream, listens)

    async def _healthy(self, url: str, within: float = 180) -> None:
        deadline = time.monotonic() + within
        async with httpx.AsyncClient() as http:
            while time.monotonic() < deadline:
                try:
                    if (await http.get(f"{url}/health")).status_code == httpx.codes.OK:
                        return
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        raise TimeoutError(f"no gateway answers at {url}")

    @property
    def flags_file(self) -> Path:
        return self.directory / "flags.json"

    def next_link(self, chance: random.Random) -> str:
        """Each link before any comes again."""
        self._deck = self._deck or chance.sample(sorted(self.links), len(self.links))
        return self._deck.pop()

    def engines(self) -> dict[str, WorkflowEnginePort]:
        """The engines themselves, asked without any link."""
        temporal = TemporalEngine(self.stack.temporal_address, self.stack.temporal_namespace)
        return {"redis": RedisQueueEngine(self.stack.redis_url, timeout=5), "temporal": temporal}

    async def gateway_is_back(self, number: int) -> None:
        await self._healthy(self.gateway_urls[number])

    async def database(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.stack.database_url)

    async def copy_in_redis(self, count: int = 5) -> int:
        """Push copies of payloads that wait in Redis, as a legacy recovery loop would (R2)."""
        made = 0
        async with redis.asyncio.from_url(self.stack.redis_url) as queue:
            async for key in queue.scan_iter("queue:group:*", count=100):
                for payload in await queue.lrange(key, 0, 1):
                    await queue.sadd("queue:active_groups", key.decode().removeprefix("queue:group:"))
                    await queue.rpush(key, payload, payload)
                    made += 2
                if made >= count:
                    break
        return made

    async def flush_redis(self) -> None:
        async with redis.asyncio.from_url(self.stack.redis_url) as queue:
            await queue.flushall()

    async def stop(self) -> None:
        for service in self.gateways + self.workers:
            service.resume()
        await asyncio.gather(*(program.end() for program in [*self.legacy, *self.workers, *self.gateways]))
        await self.stack.stop()
