"""The system under test: real servers, two gateways, two workers per backend."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import asyncpg
import httpx
import redis.asyncio

from deploy.local import taskgate
from deploy.local.env import parse_env
from deploy.local.ports import free_port
from deploy.local.stack import EmbeddedStack
from processes import Service

TENANTS = ("acme", "globex", "initech", "umbrella")
HERE = Path(__file__).resolve().parent


class World:
    """Everything that a fault may strike, and the ways to look at it in the end."""

    def __init__(self, directory: Path, *, fenced: bool, temporal_servers: int = 1) -> None:
        self.directory = directory
        self.stack = EmbeddedStack(directory, ("postgres", "redis", "temporal"), ports="free")
        self.effects = directory / "effects.jsonl"
        self.kills: dict[int, float] = {}
        self.keys: dict[str, str] = {}
        self.gateways: list[Service] = []
        self.gateway_urls: list[str] = []
        self.workers: list[Service] = []
        self._fenced = fenced
        self._temporal_servers = temporal_servers

    async def start(self) -> None:
        self.effects.touch()
        await self.stack.start()
        for _ in range(self._temporal_servers - 1):
            await self.stack.add_temporal_node()
        environment = self.environment()
        await taskgate.run("db", "legacy", "--create", environment=environment)
        await taskgate.run("db", "migrate", environment=environment)
        self.keys = parse_env(await taskgate.run("db", "seed", environment=environment))
        for number in range(2):
            port = free_port()
            self.gateway_urls.append(f"http://127.0.0.1:{port}")
            self.gateways.append(self._service(f"gateway-{number}", ["serve"], TASKGATE_HTTP_PORT=str(port)))
        for backend in ("redis", "temporal"):
            for number in range(2):
                self.workers.append(self._service(f"worker-{backend}-{number}", ["worker", "--backend", backend]))
        await asyncio.gather(*(service.start() for service in self.gateways + self.workers))
        await asyncio.gather(*(self._healthy(url) for url in self.gateway_urls))

    def environment(self) -> dict[str, str]:
        return {
            **self.stack.environment(),
            "TASKGATE_HANDLERS": "probe",
            "TASKGATE_GRPC_ENABLED": "false",
            "TASKGATE_LEASE_SECONDS": "3",
            "TASKGATE_WORKER_SLOTS": "20",
            "TASKGATE_FENCE_ENABLED": str(self._fenced).lower(),
            "TASKGATE_LOG_LEVEL": "INFO",
            "CHAOS_EFFECTS": str(self.effects),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH")))),
        }

    def _service(self, name: str, arguments: list[str], **more: str) -> Service:
        return Service(name, arguments, {**self.environment(), **more}, self.directory / f"{name}.log", self.kills)

    async def _healthy(self, url: str, within: float = 60) -> None:
        deadline = time.monotonic() + within
        async with httpx.AsyncClient() as http:
            while time.monotonic() < deadline:
                try:
                    if (await http.get(f"{url}/health")).status_code == httpx.codes.OK:
                        return
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        raise TimeoutError(f"no gateway answers at {url}")

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
        await asyncio.gather(*(service.end() for service in self.workers + self.gateways))
        await self.stack.stop()
