"""A gateway that dies between acceptance and start loses nothing: the next one dispatches what it left, at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from deploy.local.ports import free_port
from gateway.db import Database
from gateway.schema.seed import seed

PROGRAM = Path(sys.executable).with_name("taskgate")


@asynccontextmanager
async def serving(
    database_url: str, redis_url: str, **more: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A gateway process, healthy; killed at the end."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKGATE_")}
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "HTTP_PORT": str(port), "GRPC_ENABLED": "false"}
    environment |= {f"TASKGATE_{name}": value for name, value in {**settings, **more}.items()}
    process = await asyncio.create_subprocess_exec(PROGRAM, "serve", env=environment)
    try:
        async with asyncio.timeout(60), httpx.AsyncClient() as http:
            while True:
                try:
                    await http.get(f"{url}/health")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.02)
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("point", ["after_accept", "before_start", "after_start"])
async def test_what_a_killed_gateway_left_is_started_within_a_second(
    database_url: str, database: Database, redis_server: str, point: str
) -> None:
    key = (await seed(database_url))["TASKGATE_KEY_INITECH"]
    async with serving(database_url, redis_server, FAULT_POINT=point) as (process, url):
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http:
            with contextlib.suppress(httpx.TransportError):
                await http.post(f"{url}/gateway/v1/tasks", json={"type": "left_behind"})
        async with asyncio.timeout(10):
            await process.wait()
    left = await database.fetchrow("SELECT state, epoch FROM taskgate.dispatch")
    assert left is not None
    assert tuple(left) == ("starting", 1)
    async with serving(database_url, redis_server):
        healthy = time.monotonic()
        async with asyncio.timeout(10):
            while await database.fetchval("SELECT state FROM taskgate.dispatch") != "queued":
                await asyncio.sleep(0.01)
        assert time.monotonic() - healthy < 1.0
    assert await database.fetchval("SELECT epoch FROM taskgate.dispatch") == 1
