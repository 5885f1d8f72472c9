"""A worker that is told to end while it waits for its first lease ends in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.local.ports import free_port
from workers.testing.waiting import until


@asynccontextmanager
async def away(how: str) -> AsyncIterator[int]:
    """The port of a PostgreSQL that refuses connections, or takes them and says nothing."""
    if how == "refuses":
        yield free_port()
        return
    ends = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ends.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    ends.set()


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for the signal, which would end it by itself."""
    [mask] = [line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigCgt" in line]
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("how", ["refuses", "says nothing"])
@pytest.mark.parametrize("backend", ["redis", "temporal"])
async def test_while_postgresql_is_away(how: str, backend: str) -> None:
    async with away(how) as port:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKGATE_")}
        settings = {
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{port}/none",
            "REDIS_URL": "redis://127.0.0.1:1",
            "TEMPORAL_ADDRESS": "127.0.0.1:1",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workers.main", "--backend", backend, "--slots", "1"),
            env=environment | {f"TASKGATE_{name}": value for name, value in settings.items()},
        )
        try:
            await until(lambda: catches(process.pid, signal.SIGTERM), within=60)
            process.terminate()
            async with asyncio.timeout(20):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
