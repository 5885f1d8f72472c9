"""A gateway that is killed while it fires: the next one fires what it had taken, once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.storage.database import Database
from gateway.storage.schema.seed import seed
from workers.testing.waiting import eventually

pytestmark = pytest.mark.system


@pytest.mark.parametrize("point", ["after_firing_noted", "before_firing_commit"])
async def test_a_killed_gateways_firing_happens_once(
    serving: Any, database_url: str, database: Database, redis_server: str, point: str
) -> None:
    key = (await seed(database_url))["TASKGATE_KEY_INITECH"]
    body = {"name": "n", "action": {"type": "left_behind"}, "overlap": "allow_all"}
    async with serving(database_url, redis_server, FAULT_POINT=point) as (process, url):
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http:
            moments = [(datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()]
            answer = await http.post(f"{url}/gateway/v1/schedules", json={**body, "specs": [{"at": moments}]})
            assert answer.status_code == 201, answer.text
        async with asyncio.timeout(10):
            await process.wait()
    assert process.returncode == -9
    assert await database.fetchval("SELECT count(*) FROM taskgate.dispatch") == 0
    async with serving(database_url, redis_server):
        await eventually(lambda: database.fetchval("SELECT count(*) FROM taskgate.dispatch WHERE state = 'queued'"))
    firings = await database.fetch("SELECT outcome, task_id FROM taskgate.firing")
    tasks = await database.fetch("SELECT task_id FROM taskgate.dispatch")
    assert [tuple(row) for row in firings] == [("fired", tasks[0]["task_id"])]
    assert len(tasks) == 1
