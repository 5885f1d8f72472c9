"""Systems side by side on one stack: their workers as processes, and what their tasks left in the effects file."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import asyncpg

from backends.temporal.names import UNREGISTERED_QUEUE
from deploy.local import taskgate
from deploy.local.env import read_env
from deploy.local.stack import EmbeddedStack
from tests.performance.effects import Effects
from tests.performance.processes import (
    WorkerProcess,
    run_to_end,
)
from tests.performance.systems import APPS, CHECKOUT, SYSTEMS, System

Figures = dict[str, Any]


class Arena:
    """Starts workers and producers of systems, each with a database (and a Redis database) of its own."""

    def __init__(self, stack: EmbeddedStack, programs: Mapping[str, Path], effects: Effects) -> None:
        self.stack = stack
        self.effects = effects
        self._programs = programs
        self._keys = read_env(stack.env_file)
        self._ready: set[tuple[str, str]] = set()
        self._started = 0

    async def start_worker(self, system: System, space: str = "") -> WorkerProcess:
        """A worker of this system. `space` separates several instances of one system from each other."""
        environment = await self.environment(system, space)
        self._started += 1
        log = self.stack.directory / f"worker-{system.name}{space}-{self._started}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *self._filled(system.worker, system, environment),
                cwd=APPS,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return WorkerProcess(process, log)

    async def send(
        self, system: System, prefix: str, count: int, kind: str, rate: float = 0.0, space: str = ""
    ) -> list[str]:
        """Send tasks; their ids, once all are sent."""
        environment = await self.environment(system, space)
        program = self._filled(("{python}", "producer.py"), system, environment)
        await run_to_end(
            *program, system.module, prefix, str(count), kind, str(rate), environment=environment, cwd=APPS
        )
        return [f"{prefix}-{number}" for number in range(count)]

    async def warm(self, system: System, name: str, space: str = "", seconds: float = 180.0) -> None:
        """Return once a worker runs tasks, in the queue that they stay in."""
        deadline = time.monotonic() + seconds
        for attempt in itertools.count():
            tasks = await self.send(system, f"warm-{name}{attempt}", 4, "noop", space=space)
            if not await self.effects.wait("end", tasks, seconds=deadline - time.monotonic()):
                raise RuntimeError(f"{system.name}: no worker runs tasks")
            if system.name != "temporal" or await self._all_known(tasks):
                return

    async def _all_known(self, tasks: list[str]) -> bool:
        """Whether the gateway knew the plug-in type when these came: strangers go to a queue of their own."""
        connection = await asyncpg.connect(self.stack.database_url)
        try:
            strangers = await connection.fetchval(
                "SELECT count(*) FROM taskgate.dispatch d JOIN task_logs t ON t.id = d.task_id"
                " WHERE t.payload->>'name' = ANY($1::text[]) AND d.queue = $2",
                tasks,
                UNREGISTERED_QUEUE,
            )
        finally:
            await connection.close()
        return bool(strangers == 0)

    async def environment(self, system: System, space: str) -> dict[str, str]:
        number = list(SYSTEMS).index(system.name) if system.name in SYSTEMS else 0
        base, _, main = self.stack.database_url.rpartition("/")
        name = main if system.module in ("gateway_app", "sdk_app") else f"bench_{system.name}{space}"
        index = 1 + number if not space else len(SYSTEMS) + int(space.strip("_"))
        own = {
            "BENCH_EFFECTS": str(self.effects.file),
            "BENCH_DATABASE": f"{base}/{name}",
            "BENCH_REDIS": f"{self.stack.redis_url.rpartition('/')[0]}/{index}",
            "PYTHONPATH": str(APPS) if system.lock else f"{APPS}{os.pathsep}{CHECKOUT}",
        }
        environment = {**os.environ, **self.stack.environment(), **own, **system.environment}
        if system.module == "gateway_app":
            tenant = "umbrella" if system.name == "temporal" else "initech"
            environment |= {
                "TASKGATE_HANDLERS": "gateway_app",
                "BENCH_KEY": self._keys[f"TASKGATE_KEY_{tenant.upper()}"],
                "BENCH_PROJECT": f"bench-{tenant}",
            }
        if (system.name, space) not in self._ready:
            self._ready.add((system.name, space))
            await self._prepare(system, name, environment)
        return environment

    async def _prepare(self, system: System, name: str, environment: dict[str, str]) -> None:
        connection = await asyncpg.connect(self.stack.database_url)
        try:
            if system.module == "gateway_app":
                await connection.execute(
                    "INSERT INTO projects (id, tenant_id, name, owner_id) SELECT $1 || '-' || n, id, 'bench', owner_id"
                    " FROM tenants, generate_series(0, 49) n WHERE id = $2 ON CONFLICT DO NOTHING",
                    environment["BENCH_PROJECT"],
                    environment["BENCH_PROJECT"].partition("-")[2],
                )
            elif system.module != "sdk_app" and ("PostgreSQL" in system.store or system.name == "legacy"):
                await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()
        if system.name == "legacy":
            await taskgate.run(
                "db", "legacy", "--create", environment={"TASKGATE_DATABASE_URL": environment["BENCH_DATABASE"]}
            )
        if system.setup:
            await run_to_end(*self._filled(system.setup, system, environment), environment=environment, cwd=APPS)

    def _filled(self, words: tuple[str, ...], system: System, environment: Mapping[str, str]) -> list[str]:
        programs = self._programs[system.lock]
        values = {
            "bin": str(programs),
            "python": str(programs / "python"),
            "redis": environment["BENCH_REDIS"],
            "database": environment["BENCH_DATABASE"],
        }
        return [word.format(**values) for word in words]


async def make_arena(stack: EmbeddedStack, systems: Iterable[System]) -> Arena:
    """An arena on this stack for these systems, whose environments are made first."""
    programs = {"": Path(sys.executable).parent}
    for lock in {system.lock for system in systems if system.lock}:
        programs[lock] = await peer_environment(lock)
    return Arena(stack, programs, Effects(stack.directory / "effects"))


async def peer_environment(lock_name: str) -> Path:
    """Programs of a virtual environment made from its hashed lock, when there is none yet, or another one."""
    lock = APPS / f"{lock_name}.lock"
    directory = CHECKOUT / os.environ.get("TASKGATE_LOCAL_DIR", ".local") / "bench" / lock_name
    stamp, digest = directory / "lock.sha256", hashlib.sha256(lock.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != digest:
        shutil.rmtree(directory, ignore_errors=True)
        uv = str(Path(sys.executable).with_name("uv"))
        await run_to_end(uv, "venv", "--quiet", "--python", sys.executable, str(directory))
        python = str(directory / "bin" / "python")
        await run_to_end(uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", str(lock))
        stamp.write_text(digest)
    return directory / "bin"
