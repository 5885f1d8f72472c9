"""A host that vanishes from the network: packets are dropped, nobody says goodbye."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from contracts.least import least
from deploy.local.postgres import PostgresPart
from deploy.local.pytest_stack import StackFactory
from gateway.storage.schema.migrate import create_legacy_tables, migrate
from gateway.tasks.queries.task_row import Status
from workers.testing.proxy import FaultyProxy
from workers.testing.waiting import until

pytestmark = [
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and `ip`, to make a network namespace"
    ),
    pytest.mark.parametrize("backend", ["redis"], indirect=True, scope="module"),
]

#: What docs/workers.md promises, and what it would take without the keepalives (seconds).
WITHIN, LEASE = 5.0, 15.0
HERE, THERE = "10.203.77.1", "10.203.77.2"


class OtherHost:
    """A network namespace with a cable to this host, and a host name of its own."""

    def __init__(self) -> None:
        self.name = f"taskgate-{secrets.token_hex(3)}"
        self._cable = f"tg{secrets.token_hex(3)}"

    async def plug_in(self) -> None:
        await run("ip", "netns", "add", self.name)
        await run("ip", "link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        await run("ip", "address", "add", f"{HERE}/24", "dev", self._cable)
        await run("ip", "link", "set", self._cable, "up")
        await run("ip", "-n", self.name, "address", "add", f"{THERE}/24", "dev", "eth0")
        await run("ip", "-n", self.name, "link", "set", "eth0", "up")
        await run("ip", "-n", self.name, "link", "set", "lo", "up")

    async def cut(self) -> None:
        """Everything that either side sends from now on is lost."""
        await run("ip", "link", "set", self._cable, "down")

    async def mend(self) -> None:
        await run("ip", "link", "set", self._cable, "up")

    async def remove(self) -> None:
        await run("ip", "netns", "delete", self.name)

    def command(self, *argv: str) -> list[str]:
        return [
            *("ip", "netns", "exec", self.name, "unshare", "--uts"),
            *("sh", "-c", f'hostname {self.name} && exec "$@"', "sh", *argv),
        ]


async def run(*argv: str) -> None:
    process = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    if process.returncode:
        pytest.skip(f"no network namespace here: {' '.join(argv)}: {said.decode().strip()}")


@pytest.fixture(scope="module")
def lease_seconds() -> float:
    """The default."""
    return LEASE


@pytest_asyncio.fixture(scope="module")
async def other_host() -> AsyncIterator[OtherHost]:
    host = OtherHost()
    await host.plug_in()
    yield host
    await host.remove()


@pytest_asyncio.fixture(scope="module")
async def own_database(module_stack_factory: StackFactory, other_host: OtherHost) -> str:
    """PostgreSQL that the other host reaches by its own packets: the server has to notice that they stay away."""
    stack = await module_stack_factory(("postgres",), start=False)
    postgres = stack.part("postgres")
    assert isinstance(postgres, PostgresPart)
    postgres.listen = f"127.0.0.1,{HERE}"
    await stack.start()
    with (postgres.data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {THERE}/32 trust\n")
    await create_legacy_tables(stack.database_url)
    await migrate(stack.database_url)
    admin = await asyncpg.connect(stack.database_url)
    await admin.execute("SELECT pg_reload_conf()")
    await admin.close()
    return stack.database_url


@asynccontextmanager
async def worker_there(fleet: Any, host: OtherHost, ready: Path) -> AsyncIterator[None]:
    """The only worker, on the other host, whose cable is in place again in the end."""
    await asyncio.gather(*(worker.end() for worker in fleet.workers))
    redis = FaultyProxy(*fleet.address("redis"))
    redis.host = HERE
    await redis.open()
    environment = fleet.environment | {
        "TASKGATE_DATABASE_URL": fleet.environment["TASKGATE_DATABASE_URL"].replace("127.0.0.1", HERE),
        "TASKGATE_REDIS_URL": f"redis://{HERE}:{redis.port}/0",
        "TASKGATE_READY_FILE": str(ready),
    }
    process = await asyncio.create_subprocess_exec(
        *host.command(sys.executable, "-m", "gateway.cli.main", "worker", "--backend", "redis"),
        env=environment,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(ready.exists, within=60)
        yield
    finally:
        process.kill()
        await process.wait()
        await redis.close()
        await host.mend()


async def test_its_tasks_run_elsewhere_within_five_seconds(fleet: Any, other_host: OtherHost, tmp_path: Path) -> None:
    async def vanish() -> float:
        """Seconds until its task runs elsewhere."""
        word, ready = (tmp_path / secrets.token_hex(4) for _ in range(2))
        async with worker_there(fleet, other_host, ready):
            task_id = await fleet.submit("wait_for_word", word=str(word))
            first = await fleet.started(task_id)
            await asyncio.gather(*(worker.start() for worker in fleet.workers))
            await other_host.cut()
            gone = time.monotonic()
            second = await fleet.started(task_id, 2)
            assert second.pid != first.pid
            word.touch()
            assert (await fleet.ended(task_id)).status == Status.COMPLETED
            assert await fleet.attempts(task_id) == ["lost", "completed"]
        return second.at - gone

    # The keepalives of the lease's session find it, long before the lease ends.
    assert await least(vanish, WITHIN) < WITHIN
