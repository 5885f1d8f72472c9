"""A gateway and two `taskgate worker` of one backend, whose processes the tests hang and kill."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import pytest_asyncio

from contracts.flag import Flag
from deploy.local.database_stock import DatabaseStock
from deploy.local.pytest_stack import StackFactory
from deploy.local.stack import EmbeddedStack
from gateway.access.placement import Placement
from gateway.bootstrap import Gateway, build_gateway
from gateway.routing.stages import Stage
from gateway.settings import Settings
from gateway.storage.schema.migrate import create_legacy_tables, migrate
from gateway.submission.new_task import NewTask, RetryOverride
from gateway.tasks.queries.task_row import TaskRow
from workers.testing.waiting import eventually, until

LEASE_SECONDS = 2.5
PATIENCE = 60.0


@dataclass(frozen=True)
class Event:
    """One line of a handler's journal."""

    task: str
    event: str
    at: float
    pid: int


class WorkerProcess:
    """One `taskgate worker`: a supervisor, and the process below it that runs tasks."""

    def __init__(self, arguments: list[str], environment: dict[str, str], ready_file: Path) -> None:
        self._arguments = arguments
        self._environment = {**environment, "TASKGATE_READY_FILE": str(ready_file)}
        self._ready_file = ready_file
        self.supervisor: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it takes tasks."""
        self._ready_file.unlink(missing_ok=True)
        self.supervisor = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.cli.main", "worker", *self._arguments),
            env=self._environment,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await until(self._ready_file.exists, within=PATIENCE)

    @property
    def pid(self) -> int:
        """The process that runs tasks."""
        assert self.supervisor is not None
        return psutil.Process(self.supervisor.pid).children()[0].pid

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.supervisor is not None and self.supervisor.returncode is None:
            self.supervisor.send_signal(number)
            await self.supervisor.wait()


class Fleet:
    """What a test of lost or misbehaving workers needs."""

    def __init__(
        self,
        backend: str,
        gateway: Gateway,
        workers: list[WorkerProcess],
        directory: Path,
        environment: dict[str, str],
    ) -> None:
        self.backend = backend
        self.environment = environment
        self.gateway = gateway
        self.workers = workers
        self._directory = directory

    def address(self, server: str) -> tuple[str, int]:
        """Host and port of a server."""
        parts = urlsplit(self.environment[f"TASKGATE_{server.upper()}_URL"])
        return str(parts.hostname), int(parts.port or 0)

    async def submit(self, task_type: str, attempts: int | None = None, **payload: Any) -> str:
        """A task in a group of its own; its id."""
        group = f"group-{secrets.token_hex(4)}"
        task_id = secrets.token_hex(8)
        task = NewTask(
            task_type=task_type,
            group_id=group,
            payload={"group_id": group, "journal": str(self._directory / task_id), **payload},
            placement=Placement("acme", None, None),
            user_id="u",
            task_id=task_id,
            retry=None if attempts is None else RetryOverride(attempts=attempts),
        )
        await self.gateway.intake.submit([task])
        return task_id

    def journal(self, task_id: str) -> list[Event]:
        path = self._directory / task_id
        return [Event(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    def starts(self, task_id: str) -> list[Event]:
        return [event for event in self.journal(task_id) if event.event == "start"]

    async def started(self, task_id: str, times: int = 1, within: float = PATIENCE) -> Event:
        """The start with this number, waited for."""
        await until(lambda: len(self.starts(task_id)) >= times, within=within)
        return self.starts(task_id)[times - 1]

    async def noted(self, task_id: str, *events: str) -> None:
        """Return when the journal has exactly these."""
        await until(lambda: [event.event for event in self.journal(task_id)] == list(events), within=PATIENCE)

    async def ended(self, task_id: str) -> TaskRow:
        """Its row, once it is over."""
        return await self.gateway.feed.wait_terminal(task_id, PATIENCE)

    def worker_of(self, event: Event) -> WorkerProcess:
        return next(worker for worker in self.workers if worker.pid == event.pid)

    async def attempts(self, task_id: str) -> list[str]:
        rows = await self.gateway.database.fetch(
            "SELECT outcome FROM taskgate.attempt WHERE task_id = $1 ORDER BY attempt", task_id
        )
        return [row["outcome"] for row in rows]

    async def whole(self, count: int = 2) -> None:
        """Wait until so many worker processes take tasks."""
        query = "SELECT count(*) FROM taskgate.process WHERE kind = 'worker' AND lost_at IS NULL"
        await eventually(lambda: self.gateway.database.fetchval(query), lambda found: found >= count, within=PATIENCE)


def environment_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Of a process with these settings, and none that this one inherits."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TASKGATE_")}
    return inherited | {
        f"TASKGATE_{name.upper()}": str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in settings.items()
    }


async def make_fleet(backend: str, url: str, directory: Path, servers: dict[str, str], **more: Any) -> Fleet:
    flag = Flag(directory / "flags.json")
    flag.write(Stage.OFF if backend == "redis" else Stage.LIVE)
    values = {
        "database_url": url,
        **servers,
        "flags_file": flag.path,
        "handlers": "workers.testing.misbehaving",
        "lease_seconds": LEASE_SECONDS,
        "reap_seconds": 0.05,
        "task_losses": 3,
        "worker_slots": 5,
        "worker_drain_seconds": 0.5,
        "isolated_memory_mb": 400,
        "grpc_enabled": False,
        **more,
    }
    environment = environment_of(values)
    gateway = build_gateway(Settings(**values))
    await gateway.start()
    workers = [WorkerProcess(["--backend", backend], environment, directory / f"ready-{number}") for number in range(2)]
    try:
        await asyncio.gather(*(worker.start() for worker in workers))
    except BaseException:
        await asyncio.gather(*(worker.end(signal.SIGKILL) for worker in workers))
        await gateway.close()
        raise
    # Tasks of strange types go to a queue that workers of other tests, with another database, serve, too.
    await gateway.queues.learn()
    return Fleet(backend, gateway, workers, directory, environment)


@pytest_asyncio.fixture(scope="module")
async def own_database(databases: DatabaseStock) -> AsyncIterator[str]:
    async with databases.one() as url:
        yield url


@pytest_asyncio.fixture(scope="module")
async def postgres(module_stack_factory: StackFactory) -> EmbeddedStack:
    """A server of the module's own, with our tables, that its tests may stop. Temporal keeps another."""
    stack = await module_stack_factory(("postgres",))
    await create_legacy_tables(stack.database_url)
    await migrate(stack.database_url)
    return stack


@pytest.fixture(scope="module")
def backend(request: pytest.FixtureRequest) -> str:
    """Given by each test module."""
    return str(request.param)


@pytest.fixture(scope="module")
def servers(backend: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """Settings that name the backend's server."""
    if backend == "redis":
        return {"redis_url": request.getfixturevalue("redis_server")}
    address, namespace = request.getfixturevalue("temporal_server"), request.getfixturevalue("temporal_namespace")
    return {"temporal_address": address, "temporal_namespace": namespace}


@pytest.fixture(scope="module")
def lease_seconds() -> float:
    """Short, so that the tests are."""
    return LEASE_SECONDS


@pytest.fixture(scope="module")
def drain_seconds() -> float:
    """How long a worker that ends lets what runs go on."""
    return 0.5


@pytest_asyncio.fixture(scope="module")
async def fleet(
    backend: str,
    servers: dict[str, str],
    lease_seconds: float,
    drain_seconds: float,
    own_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Fleet]:
    """One per backend and module."""
    directory = tmp_path_factory.mktemp(backend)
    limits = {"lease_seconds": lease_seconds, "worker_drain_seconds": drain_seconds}
    fleet = await make_fleet(backend, own_database, directory, servers, **limits)
    yield fleet
    await asyncio.gather(*(worker.end() for worker in fleet.workers))
    await fleet.gateway.close()
