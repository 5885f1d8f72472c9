"""A gateway as a process of its own, to be killed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.ports import free_port

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


@pytest.fixture
def serving() -> Any:
    """`async with serving(database_url, redis_url, FAULT_POINT=…) as (process, url)`."""
    return _serving
