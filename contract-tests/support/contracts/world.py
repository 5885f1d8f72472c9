"""One whole gateway with its workers, on real servers, at one stage of the migration."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx
import uvicorn

from contracts.flag import Flag
from contracts.people import Household, People, Person
from contracts.probes import BOARD, Hold
from contracts.sse import Event, read_events
from gateway.app import create_app
from gateway.bootstrap import Gateway, build_gateway
from gateway.routing.stages import Stage
from gateway.serve import LONGEST_IDLE
from gateway.settings import Settings
from gateway.storage.database import Database
from workers.process import Worker
from workers.testing.waiting import eventually

#: Tasks that each worker runs at once.
SLOTS = 3
#: No wait of a test is longer (seconds): twice Temporal's last net, the timeout of a heartbeat.
PATIENCE = 60.0
#: The promise: so long after the end of a fault `task_logs` says the truth. What it depends on has default settings.
TRUTH = timedelta(seconds=5)

#: Who changes stage in mid-run goes there and back again.
FLIPS = {Stage.OFF: Stage.LIVE, Stage.LIVE: Stage.COMPLETE, Stage.COMPLETE: Stage.OFF}


@dataclass(frozen=True)
class Servers:
    """Addresses; None: not configured."""

    database_url: str
    redis_url: str | None
    temporal_address: str | None
    temporal_namespace: str
    graph_url: str | None


def listen() -> socket.socket:
    """A socket on a free port that asyncio sees to be TCP; of others it does not switch Nagle's algorithm off."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


class _Server(uvicorn.Server):
    """Leaves the signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


class World:
    """A gateway behind a port, workers for each configured backend, and an administrator.

    `stage` is `off`, `live`, `complete` or `flipped`: then every call of `flip` moves all tenants to another stage.
    """

    def __init__(self, stage: str, servers: Servers, directory: Path) -> None:
        self.stage = stage
        self.servers = servers
        self.flag = Flag(directory / f"flags-{stage}.json")
        self.flag.write(Stage.OFF if stage == "flipped" else Stage(stage))
        self.database = Database(servers.database_url, size=5)
        self.people = People(self.database)
        self.backends = [
            name
            for name, address in (("redis", servers.redis_url), ("temporal", servers.temporal_address))
            if address is not None
        ]
        self.admin: Person
        self.gateway: Gateway
        self.url = ""
        self._workers: list[Worker] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._transport = httpx.AsyncHTTPTransport(verify=False, limits=httpx.Limits(max_connections=None))
        self._server: _Server

    def settings(self, **more: Any) -> Settings:
        servers = self.servers
        values: dict[str, Any] = {
            "database_url": servers.database_url,
            "redis_url": servers.redis_url,
            "temporal_address": servers.temporal_address,
            "temporal_namespace": servers.temporal_namespace,
            "graph_url": servers.graph_url,
            "models_module": "deploy.demo",
            "flags_file": self.flag.path,
            "unserved_type_seconds": 0.5,
            "handlers": "contracts.probes,memstack_handlers",
            "grpc_enabled": False,
            "upstream_url": None,
            "launchdarkly_sdk_key": None,
            "worker_drain_seconds": 0.2,
            "max_body_bytes": 1_000_000,
            "callback_allow_private": True,
            "callback_ports": ["1-65535"],
            "callback_seconds": 0.1,
            "dead_letter_seconds": 0.1,
            **more,
        }
        return Settings(**values)

    async def start(self) -> None:
        self.admin = await self.people.person(f"admin-{secrets.token_hex(4)}", admin=True)
        self.gateway, self._server, self.url = await self._serve(self.settings())
        self.flag.watch(self.gateway.flags)
        for backend in self._reachable():
            worker = Worker(self.settings(), backend, SLOTS)
            self._workers.append(worker)
            self._tasks.append(asyncio.create_task(worker.run(), name=f"worker {backend}"))

    def _reachable(self) -> list[str]:
        """At `complete` Redis is down for good: its address refuses, and it has no worker."""
        return [backend for backend in self.backends if not (self.stage == "complete" and backend == "redis")]

    async def _serve(self, settings: Settings) -> tuple[Gateway, _Server, str]:
        gateway = build_gateway(settings)
        listener = listen()
        config = uvicorn.Config(
            create_app(gateway),
            http="httptools",
            log_config=None,
            access_log=False,
            lifespan="on",
            server_header=False,
            timeout_keep_alive=LONGEST_IDLE,
        )
        server = _Server(config)
        self._tasks.append(asyncio.create_task(server.serve(sockets=[listener]), name="gateway"))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        (await self._client(url, {}).get("/health")).raise_for_status()
        return gateway, server, url

    @asynccontextmanager
    async def another_gateway(self, **settings: Any) -> AsyncIterator[str]:
        """A second gateway on the same servers, with other settings; its URL."""
        _, server, url = await self._serve(self.settings(**settings))
        task = self._tasks.pop()
        try:
            yield url
        finally:
            server.should_exit = True
            await task

    async def stop(self) -> None:
        BOARD.release_all()
        await self._transport.aclose()
        for worker in self._workers:
            worker.stopping.set()
        self._server.should_exit = True
        await asyncio.gather(*self._tasks)
        await self.database.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Started, until the block ends."""
        try:
            await self.start()
            yield self
        finally:
            await self.stop()

    # Clients ------------------------------------------------------------------------------------------------

    def client(self, person: Person | None = None) -> httpx.AsyncClient:
        """A client that sends this person's key, as the SDK does; without a person, none."""
        key = "" if person is None else person.key
        if key not in self._clients:
            headers = {} if person is None else person.headers
            self._clients[key] = self._client(self.url, headers)
        return self._clients[key]

    def _client(self, url: str, headers: dict[str, str]) -> httpx.AsyncClient:
        # One transport for all: making one reads the certificates of the whole world.
        return httpx.AsyncClient(
            base_url=url, headers=headers, timeout=PATIENCE, transport=self._transport, trust_env=False
        )

    @asynccontextmanager
    async def stream(self, task_id: str, person: Person | None = None) -> AsyncIterator[AsyncIterator[Event]]:
        """The events of a task."""
        async with self.client(person).stream("GET", f"/api/v1/tasks/{task_id}/stream") as response:
            assert response.status_code == 200, await response.aread()
            yield read_events(response)

    # Tasks --------------------------------------------------------------------------------------------------

    async def submit(self, home: Household, do: str = "", *, at: str = "", **more: Any) -> str:
        """A `contract_probe` task of the household, at the gateway with this URL; its id."""
        body = {"type": "contract_probe", "payload": {"do": do}, "project_id": home.project_id, **more}
        answer = await self.client(home.owner).post(f"{at}/gateway/v1/tasks", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    async def ended(self, task_id: str) -> dict[str, Any]:
        """The `task_logs` row of the task, once it is over."""
        await self.gateway.feed.wait_terminal(task_id, PATIENCE)
        return await self.row(task_id)

    async def until(self, task_id: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The `task_logs` row of the task, once it is so."""
        async with asyncio.timeout(PATIENCE), self.gateway.feed.subscribe(task_id) as changes:
            async for _ in changes:
                row = await self.row(task_id)
                if is_so(row):
                    return row
        raise AssertionError("the gateway shut down")

    async def queued(self, task_id: str) -> None:
        """Return when the engine has the task; it is not started meanwhile."""
        await eventually(lambda: self.dispatch(task_id), lambda row: row["state"] == "queued", within=PATIENCE)

    async def row(self, task_id: str) -> dict[str, Any]:
        """Every column of the task in `task_logs`, as a legacy reader finds it; JSON parsed."""
        row = await self.database.fetchrow("SELECT * FROM task_logs WHERE id = $1", task_id)
        assert row is not None
        return {name: _parsed(value) if name in ("payload", "result") else value for name, value in row.items()}

    async def attempts(self, task_id: str) -> list[str | None]:
        """How each recorded attempt ended."""
        rows = await self.database.fetch(
            "SELECT outcome FROM taskgate.attempt WHERE task_id = $1 ORDER BY attempt", task_id
        )
        return [row["outcome"] for row in rows]

    async def clock(self) -> datetime:
        """Now, as the server has it that stamps the rows."""
        now: datetime = await self.database.fetchval("SELECT clock_timestamp()")
        return now

    async def dispatch(self, task_id: str) -> Mapping[str, Any]:
        """The gateway's own row beside it."""
        row = await self.database.fetchrow("SELECT * FROM taskgate.dispatch WHERE task_id = $1", task_id)
        assert row is not None
        return row

    @asynccontextmanager
    async def held(self, home: Household, *, stubborn: bool = False, **more: Any) -> AsyncIterator[tuple[str, Hold]]:
        """A task that runs and waits for the test; released in the end."""
        name = secrets.token_hex(6)
        hold = BOARD.hold(name)
        try:
            task_id = await self.submit(home, f"{'stubborn' if stubborn else 'hold'} {name}", **more)
            async with asyncio.timeout(PATIENCE):
                await hold.started.wait()
            # Its handler has begun; wait for its first report, so that nothing is under way.
            await self.until(task_id, lambda row: row["progress"] == 10)
            yield task_id, hold
        finally:
            hold.release()

    @asynccontextmanager
    async def jammed(self) -> AsyncIterator[None]:
        """Meanwhile every worker is busy: what is submitted waits, queued on its backend."""
        async with contextlib.AsyncExitStack() as stack:
            stages = {"redis": Stage.OFF, "temporal": Stage.LIVE}
            for backend in self._reachable():
                home = await self.people.household()
                if self.stage == "flipped":
                    await self.flag.set(stages[backend], home.tenant_id)
                elif self.stage == "live" and backend == "redis":
                    continue
                for number in range(SLOTS):
                    project = await self.people.project(f"{home.project_id}-{number}", home.tenant_id, home.owner)
                    await stack.enter_async_context(self.held(home, project_id=project))
            yield

    async def flip(self) -> None:
        """The mid-run of a test: at stage `flipped` every tenant is moved to another stage, else nothing happens."""
        if self.stage == "flipped":
            await self.flag.set(FLIPS[self.flag.stage()])


def _parsed(value: str | None) -> Any:
    return None if value is None else json.loads(value)
