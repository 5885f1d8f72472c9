"""What integration and whole systems need: a gateway as a process to be killed, and both backends."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from contracts.world import Servers
from deploy.local.ports import free_port
from deploy.local.temporal_setup import ensure_namespace
from workers.testing.waiting import works

PROGRAM = Path(sys.executable).with_name("taskgate")


@asynccontextmanager
async def _serving(
    database_url: str, redis_url: str, **more: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A gateway process, healthy; killed at the end."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKGATE_")}
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "HTTP_PORT": str(port), "GRPC_ENABLED": "false"}
    environment |= {f"TASKGATE_{name}": value for name, value in {**settings, **more}.items()}
    process = await asyncio.create_subprocess_exec(PROGRAM, "serve", env=environment)
    try:
        async with httpx.AsyncClient(verify=False) as http:
            await works(lambda: http.get(f"{url}/health"), httpx.TransportError, within=60)
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
def serving() -> Any:
    """`async with serving(database_url, redis_url, FAULT_POINT=…) as (process, url)`."""
    return _serving


@pytest.fixture
def servers(database_url: str, redis_server: str, temporal_server: str, temporal_namespace: str) -> Servers:
    """Both backends, and a database of the test's own."""
    return Servers(
        database_url=database_url,
        redis_url=redis_server,
        temporal_address=temporal_server,
        temporal_namespace=temporal_namespace,
        graph_url=None,
    )


@pytest_asyncio.fixture(scope="module")
async def own_namespace(request: pytest.FixtureRequest, temporal_server: str, temporal_namespace: str) -> str:
    """A namespace of this folder's own: in the shared one others leave tasks of the same types."""
    name = f"{temporal_namespace}-{request.path.parent.name}"
    await ensure_namespace(temporal_server, name)
    return name


@pytest.fixture
def own_servers(servers: Servers, own_namespace: str) -> Servers:
    """`servers` with `own_namespace`."""
    return replace(servers, temporal_namespace=own_namespace)


@pytest_asyncio.fixture
async def queue(redis_server: str) -> AsyncIterator[Redis]:
    """A Redis that is empty."""
    async with Redis.from_url(redis_server) as client:
        await client.flushall()
        yield client
