"""A gateway that dies between acceptance and start loses nothing: the next one dispatches what it left, at once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.flag import Flag
from contracts.least import least
from contracts.world import Servers
from gateway.routing.stages import Stage
from gateway.storage.database import Database
from gateway.storage.schema.seed import seed
from workers.testing.waiting import eventually


@pytest.mark.parametrize(
    ("point", "backend"),
    [("after_accept", "redis"), ("before_start", "redis"), ("after_start", "redis"), ("after_start", "temporal")],
)
async def test_what_a_killed_gateway_left_is_started_within_a_second(
    serving: Any, servers: Servers, database: Database, tmp_path: Path, point: str, backend: str
) -> None:
    key = (await seed(servers.database_url))["TASKGATE_KEY_INITECH"]
    settings: dict[str, Any] = {}
    if backend == "temporal":
        flag = Flag(tmp_path / "flags.json")
        flag.write(Stage.LIVE)
        settings = {
            "TEMPORAL_ADDRESS": servers.temporal_address,
            "TEMPORAL_NAMESPACE": servers.temporal_namespace,
            "FLAGS_FILE": str(flag.path),
        }

    async def leave_and_return() -> float:
        await database.execute("DELETE FROM taskgate.dispatch")
        async with serving(servers.database_url, servers.redis_url, FAULT_POINT=point, **settings) as (process, url):
            async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http:
                with contextlib.suppress(httpx.TransportError):
                    await http.post(f"{url}/gateway/v1/tasks", json={"type": "left_behind"})
            async with asyncio.timeout(10):
                await process.wait()
        left = await database.fetchrow("SELECT state, epoch, backend FROM taskgate.dispatch")
        assert left is not None
        assert tuple(left) == ("starting", 1, backend)
        async with serving(servers.database_url, servers.redis_url, **settings):
            healthy = time.monotonic()
            await eventually(
                lambda: database.fetchval("SELECT state FROM taskgate.dispatch"), lambda found: found == "queued"
            )
            waited = time.monotonic() - healthy
        assert await database.fetchval("SELECT epoch FROM taskgate.dispatch") == 1
        return waited

    assert await least(leave_and_return, 1.0) < 1.0
