"""Systems side by side on one stack: their workers as processes, and what their tasks left in the effects file."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import shutil
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from backends.temporal.names import UNREGISTERED_QUEUE
from deploy.local import taskgate
from deploy.local.env import read_env
from deploy.local.stack import EmbeddedStack

CHECKOUT = Path(__file__).resolve().parents[2]
APPS = Path(__file__).with_name("peers")
LEGACY_WORKER = CHECKOUT / "contract-tests" / "legacy" / "worker.py"
PEERS = "requirements"
SERVERS = ("postgres", "redis", "temporal", "gateway")


@dataclass(frozen=True)
class System:
    """One task system. `worker` is its command line, `{bin}` the environment's programs; `module` sends its tasks.

    `recovery` says what its documentation says of a killed worker's tasks.
    """

    name: str
    module: str
    worker: tuple[str, ...]
    store: str
    recovery: str = ""
    lock: str = ""
    """The peer's environment; empty for what runs in ours."""
    setup: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


_LEGACY = ("{python}", str(LEGACY_WORKER), "--redis", "{redis}", "--database", "{database}", "--handlers", "legacy_app")

SYSTEMS = {
    system.name: system
    for system in (
        System("temporal", "gateway_app", ("{bin}/taskgate", "worker", "--backend", "temporal"), "PostgreSQL"),
        System("redis", "gateway_app", ("{bin}/taskgate", "worker", "--backend", "redis"), "PostgreSQL, Redis"),
        System("sdk", "sdk_app", ("{python}", "sdk_app.py"), "PostgreSQL", "heartbeat timeout, here 10 s"),
        System("legacy", "legacy_app", _LEGACY, "Redis", "a loop every 60 s looks for tasks older than their timeout"),
        System("arq", "arq_app", ("{bin}/arq", "arq_app.WorkerSettings"), "Redis", "job timeout + 10 s: 310 s", PEERS),
        System(
            "taskiq",
            "taskiq_app",
            ("{bin}/taskiq", "worker", "taskiq_app:broker", "--workers", "1", "--max-async-tasks", "20"),
            "Redis",
            "idle timeout: 600 s",
            "requirements-taskiq",
        ),
        System(
            "celery",
            "celery_app",
            ("{bin}/celery", "-A", "celery_app", "worker", "--concurrency", "20", "--loglevel", "warning"),
            "Redis",
            "visibility timeout: 3600 s",
            PEERS,
        ),
        System(
            "dramatiq",
            "dramatiq_app",
            ("{bin}/dramatiq", "dramatiq_app", "--processes", "1", "--threads", "20"),
            "Redis",
            "heartbeat timeout 60 s, then maintenance by chance (1 in 1000 commands)",
            PEERS,
        ),
        System(
            "procrastinate",
            "procrastinate_app",
            ("{bin}/procrastinate", "--app", "procrastinate_app.app", "worker", "--concurrency", "20"),
            "PostgreSQL",
            "heartbeat 30 s, then a periodic task of the user's (documented: every 10 min; here: every minute)",
            PEERS,
            ("{bin}/procrastinate", "--app", "procrastinate_app.app", "schema", "--apply"),
        ),
        System(
            "dbos",
            "dbos_app",
            ("{python}", "dbos_app.py"),
            "PostgreSQL",
            "only when a worker of the same executor id starts again, or by its Conductor service",
            PEERS,
            ("{bin}/dbos", "migrate", "--sys-db-url", "{database}"),
        ),
    )
}


async def peer_environment(lock_name: str) -> Path:
    """Programs of a virtual environment made from its hashed lock, when there is none yet, or another one."""
    lock = APPS / f"{lock_name}.lock"
    directory = CHECKOUT / os.environ.get("TASKGATE_LOCAL_DIR", ".local") / "bench" / lock_name
    stamp, digest = directory / "lock.sha256", hashlib.sha256(lock.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != digest:
        shutil.rmtree(directory, ignore_errors=True)
        uv = str(Path(sys.executable).with_name("uv"))
        await _run_to_end(uv, "venv", "--quiet", "--python", sys.executable, str(directory))
        python = str(directory / "bin" / "python")
        await _run_to_end(uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", str(lock))
        stamp.write_text(digest)
    return directory / "bin"


class Effects:
    """The lines that tasks left, read as they come: wall clocks by event and task."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.touch()
        self._offset = 0
        self._rest = b""
        self.times: dict[str, dict[str, list[tuple[float, int]]]] = defaultdict(lambda: defaultdict(list))

    def read(self) -> None:
        with self.file.open("rb") as stream:
            stream.seek(self._offset)
            data = stream.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            event, task, pid, at = line.decode().split()
            self.times[event][task].append((float(at), int(pid)))

    async def wait(self, event: str, tasks: list[str], *, runs: int = 1, seconds: float = 120.0) -> bool:
        """Whether each of the tasks has left so many lines of this event, in time."""
        deadline = time.monotonic() + seconds
        missing = list(tasks)
        while True:
            self.read()
            found = self.times[event]
            while missing and len(found[missing[-1]]) >= runs:
                missing.pop()
            if not missing:
                return True
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.005)

    def first(self, event: str, task: str) -> float:
        return self.times[event][task][0][0]


class WorkerProcess:
    """A worker with all processes that it starts: one process group."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def pids(self) -> set[int]:
        return tree(self.process.pid)

    async def kill(self) -> None:
        """SIGKILL for all of it at once."""
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()

    async def end(self) -> None:
        """SIGTERM; SIGKILL when that does not help within some seconds."""
        if self.process.returncode is None:
            self.process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), 5)
        for pid in self.pids:
            _kill(pid)
        await self.kill()


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
        await _run_to_end(
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
            await _run_to_end(*self._filled(system.setup, system, environment), environment=environment, cwd=APPS)

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


def tree(pid: int) -> set[int]:
    """A process and all that it started."""
    try:
        process = psutil.Process(pid)
        return {pid, *(child.pid for child in process.children(recursive=True))}
    except psutil.Error:
        return set()


def cpu_of(pids: set[int]) -> float:
    """Seconds of processor time that these processes have used."""
    total = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def resident_mb(pid: int) -> float:
    """Megabytes, of shared pages the process's part: PostgreSQL's processes share most of theirs."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


async def server_pids(stack: EmbeddedStack) -> dict[str, set[int]]:
    """The processes of each server of the stack."""
    return {status.name: tree(status.pid) for status in await stack.status() if status.pid and status.name in SERVERS}


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


async def _run_to_end(*arguments: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
    process = await asyncio.create_subprocess_exec(
        *arguments,
        env=None if environment is None else dict(environment),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments[:3])} failed:\n{output.decode(errors='replace')[-3000:]}")


Figures = dict[str, Any]
