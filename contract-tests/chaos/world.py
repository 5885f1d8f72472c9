"""The system under test: real servers, two gateways, two workers per backend, and a link between each pair."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import redis.asyncio

import dags
from backends.port import WorkflowEnginePort
from backends.redis_queue.engine import RedisQueueEngine
from backends.temporal.engine import TemporalEngine
from deploy.local.ports import free_port
from deploy.local.postgres import PostgresPart
from deploy.local.redis import RedisPart
from deploy.local.stack import EmbeddedStack
from deploy.local.standby import StandbyPart
from gateway.storage.schema.migrate import create_legacy_tables, migrate
from gateway.storage.schema.seed import SQL as SEED_SQL
from gateway.storage.schema.seed import seed
from links import Links
from processes import Program, Service
from rows import Rows
from served import ServedTime, some_gateway_answers
from workers.testing.refusing_server import RefusingServer
from workers.testing.waiting import until

TENANTS = ("acme", "globex", "initech", "umbrella")
#: On Redis the tasks of one project run one after the other.
PROJECTS = 4
HERE = Path(__file__).resolve().parent
LEGACY_WORKER = HERE.parent / "legacy" / "worker.py"
#: The legacy system has 60 for both: the pause of its recovery loop, and the age at which it takes a PENDING row.
LEGACY_SECONDS = os.environ.get("LEGACY_SECONDS") or "2"
#: Beside legacy workers our own of Redis start once those have run so many tasks: later they leave them little.
HEAD_START = 3


class World:
    """Everything that a fault may strike, and the ways to look at it in the end."""

    def __init__(
        self,
        directory: Path,
        *,
        fenced: bool,
        asks_redis: bool = True,
        temporal_servers: int = 1,
        legacy_workers: int = 0,
    ) -> None:
        self.directory = directory
        self.stack = EmbeddedStack(directory, ("postgres", "redis", "temporal"), ports="free")
        self.rows = Rows(self.stack.database_url)
        self.effects = directory / "effects.jsonl"
        self.kills: dict[int, float] = {}
        self.keys: dict[str, str] = {}
        self.projects: dict[str, list[str]] = {}
        self.gateways: list[Service] = []
        self.gateway_urls: list[str] = []
        self.grpc_addresses: list[str] = []
        self.workers: list[Service] = []
        self.legacy: list[Program] = []
        self.links = Links(directory)
        self.refusing = RefusingServer()
        self.leader_deaths: Counter[str] = Counter()
        """How often a leader died at each step of a move."""
        self.served = ServedTime(lambda: some_gateway_answers(self.gateway_urls))
        self._measuring: asyncio.Task[None] | None = None
        self._moved = 0
        self._read_to: Counter[str] = Counter()
        self._standby: StandbyPart | None = None
        self._replica: RedisPart | None = None
        self._legacy_workers = legacy_workers
        self._fenced = fenced
        self._asks_redis = asks_redis
        self._temporal_servers = temporal_servers

    async def start(self) -> None:
        self.effects.touch()
        await self.stack.start()
        for _ in range(self._temporal_servers - 1):
            await self.stack.add_temporal_node()
        await self.refusing.start()
        await self.links.open(self.stack)
        await create_legacy_tables(self.stack.database_url)
        await migrate(self.stack.database_url)
        self.keys = await seed(self.stack.database_url)
        await self._add_projects()
        for number in range(2):
            port, grpc_port = free_port(), free_port()
            self.gateway_urls.append(f"http://127.0.0.1:{port}")
            self.grpc_addresses.append(f"127.0.0.1:{grpc_port}")
            more = {"TASKGATE_HTTP_PORT": str(port), "TASKGATE_GRPC_PORT": str(grpc_port)}
            more["TASKGATE_FENCE_ENABLED"] = str(self._fenced and self._asks_redis).lower()
            self.gateways.append(self._service(f"gateway-{number}", ["serve"], "gateway", **more))
        for backend in ("redis", "temporal"):
            for number in range(2):
                name, arguments = f"worker-{backend}-{number}", ["worker", "--backend", backend]
                self.workers.append(self._service(name, arguments, "worker", CHAOS_WORKER=backend))
        for number in range(self._legacy_workers):
            self.legacy.append(self._legacy(f"legacy-{number}"))
        programs = [one for one in [*self.gateways, *self.workers, *self.legacy] if not self._is_held_back(one)]
        await asyncio.gather(*(program.start() for program in programs))
        await asyncio.gather(*(self._healthy(url) for url in self.gateway_urls))
        self._measuring = asyncio.create_task(self.served.measure_forever())
        await self._apply_dags()
        await self._known(sum(isinstance(one, Service) for one in programs))

    async def _known(self, processes: int, within: float = 180) -> None:
        """Return once so many have their leases: before a worker is known, no priority is taken for its backend."""
        async with asyncio.timeout(within), self.rows.connected() as database:
            while await database.fetchval("SELECT count(*) FROM taskgate.process") < processes:
                await asyncio.sleep(0.05)

    def _is_held_back(self, program: Program | Service) -> bool:
        return bool(self.legacy) and isinstance(program, Service) and program.name.startswith("worker-redis")

    async def start_held_back(self) -> None:
        """The workers that leave the legacy ones a head start, once those have had it."""
        held = [worker for worker in self.workers if self._is_held_back(worker)]
        if held:
            await until(lambda: self.effects.read_text().count('"by": "legacy"') >= HEAD_START, within=60)
        await asyncio.gather(*(worker.start() for worker in held))

    async def _add_projects(self) -> None:
        async with self.rows.connected() as database:
            for tenant in TENANTS:
                self.projects[tenant] = [f"{tenant}-{number}" for number in range(PROJECTS)]
                for project in self.projects[tenant]:
                    await database.execute(SEED_SQL.project, project, tenant, project, f"user-{tenant}")
                    await database.execute(SEED_SQL.project_owner, f"user-{tenant}", project)

    async def _apply_dags(self) -> None:
        async with httpx.AsyncClient(base_url=self.gateway_urls[0], timeout=30) as http:
            for tenant in TENANTS:
                answer = await http.put(
                    f"/gateway/v1/dags/{dags.NAME}",
                    params={"any_types": 1},
                    content=dags.DEFINITION,
                    headers={"Authorization": self.authorization(tenant), "Content-Type": "application/yaml"},
                )
                if answer.is_error:
                    raise RuntimeError(f"the DAG was answered {answer.status_code}: {answer.text}")

    def authorization(self, tenant: str) -> str:
        return f"Bearer {self.keys[f'TASKGATE_KEY_{tenant.upper()}']}"

    def environment(self) -> dict[str, str]:
        return {
            **self.stack.environment(),
            "TASKGATE_HANDLERS": "probe",
            "TASKGATE_LEASE_SECONDS": "3",
            "TASKGATE_REHEARSAL_PROBE_PERCENT": "100",
            "TASKGATE_REHEARSAL_PROBES_PER_SECOND": "20",
            "TASKGATE_WORKER_SLOTS": "20",
            "TASKGATE_FENCE_ENABLED": str(self._fenced).lower(),
            "TASKGATE_LOG_LEVEL": "INFO",
            "TASKGATE_FLAG_SOURCE": "database",
            "TASKGATE_DRAIN_QUIET_HOURS": "0.0005",
            "CHAOS_EFFECTS": str(self.effects),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH")))),
        }

    def _service(self, name: str, arguments: list[str], side: str, **more: str) -> Service:
        environment = {**self.environment(), **self.links.environment(side), **more}
        return Service(name, arguments, environment, self.directory / f"{name}.log", self.kills)

    def _legacy(self, name: str) -> Program:
        """An unmodified legacy worker, as superuser of the database; nothing of it passes a link."""
        servers = ["--redis", self.stack.redis_url, "--database", self.stack.database_url, "--handlers", "probe"]
        pauses = ["--recovery-seconds", LEGACY_SECONDS, "--stale-seconds", LEGACY_SECONDS]
        argv = [sys.executable, str(LEGACY_WORKER), *servers, *pauses]
        return Program(argv, {**self.environment(), "CHAOS_WORKER": "legacy"}, self.directory / f"{name}.log")

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

    def count_moved(self) -> int:
        """How many tasks left Redis in a rampdown, as the gateways' logs say."""
        for path in self.directory.glob("gateway-*.log"):
            with path.open("rb") as log:
                log.seek(self._read_to[path.name])
                for line in log:
                    if not line.endswith(b"\n"):
                        break  # the rest is being written
                    self._read_to[path.name] += len(line)
                    if found := re.search(rb"(\d+) tasks moved from redis", line):
                        self._moved += int(found[1])
        return self._moved

    async def standby(self) -> str:
        """`host:port` of a hot standby of PostgreSQL, made by the first who asks."""
        if self._standby is None:
            primary = self.stack.part("postgres")
            assert isinstance(primary, PostgresPart)
            self._standby = StandbyPart(primary, free_port())
        await self._standby.start()
        return f"127.0.0.1:{self._standby.port}"

    async def replica(self) -> str:
        """`host:port` of a replica of Redis, made by the first who asks."""
        if self._replica is None:
            self._replica = RedisPart(self.directory, free_port(), lambda _: None, durable=False, name="redis-replica")
            await self._replica.start()
            async with redis.asyncio.from_url(self._replica.url) as replica:
                await replica.slaveof("127.0.0.1", self.stack.part("redis").port)
        return f"127.0.0.1:{self._replica.port}"

    async def silence_leader(self) -> bool:
        """The connection under which a gateway leads goes silent; False when none leads."""
        port = await self.rows.port_of_leader()
        return port is not None and bool(self.links.faulty["gateway-postgres"].silence(port))

    async def limit_redis(self, size: int) -> None:
        """Redis refuses what would need memory beyond so many bytes; 0: nothing."""
        async with redis.asyncio.from_url(self.stack.redis_url) as queue:
            await queue.config_set("maxmemory", size)

    def engines(self) -> dict[str, WorkflowEnginePort]:
        """The engines themselves, asked without any link."""
        temporal = TemporalEngine(self.stack.temporal_address, self.stack.temporal_namespace)
        return {"redis": RedisQueueEngine(self.stack.redis_url, timeout=5), "temporal": temporal}

    async def gateway_is_back(self, number: int) -> None:
        await self._healthy(self.gateway_urls[number])

    async def legacy_is_done(self) -> bool:
        """Whether legacy workers run nothing, and what they wrote about stopped tasks is put right."""
        text = self.effects.read_text() if self.legacy else ""
        runs = [json.loads(line) for line in text.splitlines() if '"by": "legacy"' in line]
        if 2 * sum(run["event"] == "start" for run in runs) > len(runs):
            return False
        return not await self.rows.stopped_but_not_failed()

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
        if self._measuring is not None:
            self._measuring.cancel()
        for service in self.gateways + self.workers:
            service.resume()
        await asyncio.gather(*(program.end() for program in [*self.legacy, *self.workers, *self.gateways]))
        beside = [part.stop() for part in (self._standby, self._replica) if part is not None]
        await asyncio.gather(self.refusing.stop(), self.links.close(), *beside)
        await self.stack.stop()
