"""A backup of the database of a world, restored beside it, and `taskgate recover` on it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
from typer.testing import CliRunner

from contracts.probes import BOARD
from contracts.world import PATIENCE, Servers, World
from deploy.local.postgres import locate
from gateway.cli.main import app
from workers.testing.waiting import eventually


async def back_up(servers: Servers, file: Path) -> None:
    await _run("pg_dump", "-Fc", "-f", str(file), servers.database_url)


async def stop_workers(world: World) -> None:
    """They take nothing more; what is held ends, what does not end goes back to its engine."""
    for worker in world._workers:
        worker.stopping.set()
    BOARD.release_all()
    await asyncio.gather(*(task for task in world._tasks if task.get_name().startswith("worker")))


@dataclass
class RestoredDatabase:
    """The servers, with the restored database."""

    servers: Servers

    @property
    def environment(self) -> dict[str, str | None]:
        values = {
            "DATABASE_URL": self.servers.database_url,
            "REDIS_URL": self.servers.redis_url,
            "TEMPORAL_ADDRESS": self.servers.temporal_address,
            "TEMPORAL_NAMESPACE": self.servers.temporal_namespace,
            # The database remembers leases that were renewed seconds ago; a restore takes longer than that elsewhere.
            "LEASE_SECONDS": "2",
        }
        return {f"TASKGATE_{name}": value for name, value in values.items()}

    async def invoke(self, *words: str) -> Any:
        """The command, on these servers."""
        return await asyncio.to_thread(CliRunner().invoke, app, [*words], env=self.environment)

    async def program(self, *words: str) -> asyncio.subprocess.Process:
        """The command as a process, whose errors are read by the caller."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TASKGATE_")}
        own = {name: value for name, value in self.environment.items() if value is not None}
        return await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("taskgate"),
            *words,
            env=inherited | own,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )

    async def json_of(self, *words: str) -> Any:
        """What `taskgate recover` says."""
        result = await self.invoke("recover", *words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    async def recover(self) -> dict[str, Any]:
        """The report."""
        await eventually(lambda: self.json_of("--dry-run"), lambda preview: not preview["living"], within=PATIENCE)
        report: dict[str, Any] = await self.json_of("--yes", "--by", "ada", "--why", "disk lost")
        return report


@asynccontextmanager
async def restored_database(servers: Servers, backup: Path) -> AsyncIterator[RestoredDatabase]:
    """The backup in a database of its own; dropped in the end."""
    name = f"restored_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(servers.database_url)
    await admin.execute(f'CREATE DATABASE "{name}"')
    url = f"{servers.database_url.rpartition('/')[0]}/{name}"
    try:
        await _run("pg_restore", "-d", url, str(backup))
        yield RestoredDatabase(replace(servers, database_url=url))
    finally:
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()


async def _run(name: str, *words: str) -> None:
    program = await asyncio.create_subprocess_exec(
        locate().directory / name, *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await program.communicate()
    assert program.returncode == 0, said.decode()
