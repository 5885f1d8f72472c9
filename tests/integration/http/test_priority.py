"""A priority that nobody would serve is refused before anything is accepted: legacy workers know none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from backends.memory.engine import CAPABILITIES, MemoryEngine
from backends.port import Capability
from gateway.storage.database import Database

TASKS = "/gateway/v1/tasks"
URGENT = {"type": "probe", "priority": 1}


@pytest.fixture
async def legacy(serve: Any, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """Ann, whose tasks go to a backend whose workers need not be ours."""
    engine = MemoryEngine(name="redis", capabilities=CAPABILITIES - {Capability.FENCED})
    async with serve({"redis": engine}) as (client, _):
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


async def worker(database: Database, lost: str) -> None:
    await database.execute(
        "INSERT INTO taskgate.process (process_id, kind, backend, host, pid, version, lock_key, lost_at)"
        f" VALUES ('w', 'worker', 'redis', 'h', 1, '1', 1, {lost})"
    )


async def test_legacy_workers_serve_no_priority(legacy: httpx.AsyncClient, database: Database) -> None:
    await worker(database, "now() - interval '2 days'")
    answer = await legacy.post(TASKS, json=URGENT)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:taskgate:error:priority_not_served")
    assert "legacy workers" in answer.json()["detail"]
    answer = await legacy.post(f"{TASKS}/batch", json={"tasks": [{"type": "probe"}, URGENT]})
    assert answer.status_code == 409
    assert await database.fetchval("SELECT count(*) FROM task_logs") == 0
    answer = await legacy.post(f"{TASKS}/batch", json={"mode": "each", "tasks": [{"type": "probe"}, URGENT]})
    assert [item["status"] for item in answer.json()["tasks"]] == ["pending", "refused"]
    # Nobody knows where a later one will go.
    assert (await legacy.post(TASKS, json={**URGENT, "delay_seconds": 60})).status_code == 202
    assert (await legacy.post(TASKS, json={**URGENT, "priority": 3})).status_code == 202


@pytest.mark.parametrize("lost", ["NULL", "now() - interval '1 hour'"])
async def test_our_workers_do(legacy: httpx.AsyncClient, database: Database, lost: str) -> None:
    await worker(database, lost)
    assert (await legacy.post(TASKS, json=URGENT)).status_code == 202
