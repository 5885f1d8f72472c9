"""What was pushed past the gateway is said where tasks are listed and counted, to those who may know."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from gateway.storage.database import Database

AT = "2026-11-01T12:00:00+00:00"
#: tenant, place, tasks
SEEN = [("t-ann", "waiting", 3), ("t-ann", "held_elsewhere", 1), ("t-ann", "set_aside", 2), ("t-bob", "taken", 5)]


@pytest.fixture(autouse=True)
async def seen(database: Database, key: str) -> None:
    """As the leader saw it."""
    for tenant, place, tasks in [*SEEN, (None, "waiting", 7)]:
        await database.execute(
            "INSERT INTO taskgate.past_gateway (tenant_id, task_type, place, tasks, last_at)"
            " VALUES ($1, 'add_episode', $2, $3, $4::text::timestamptz)",
            tenant,
            place,
            tasks,
            AT,
        )
    await database.execute("UPDATE taskgate.foreign_look SET looked_at = now()")
    await database.execute(
        "INSERT INTO taskgate.dead_letter (id, kind, tenant_id, reason, died_at)"
        " VALUES ('l', 'payload', 't-ann', 'not_a_task', now() - interval '1 year'),"
        " ('task', 'task', 't-ann', 'not_retryable', now())"
    )


def said(answer: httpx.Response) -> tuple[int, int]:
    beside = answer.json()["past_gateway"]
    assert beside["looked_at"] is not None
    return beside["tasks"], beside["set_aside"]


async def test_lists_and_tenants(client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    assert said(await client.get("/gateway/v1/tasks")) == (4, 3)
    assert said(await client.get("/gateway/v1/tasks", headers=admin)) == (16, 3)
    assert said(await client.get("/gateway/v1/tasks?tenant_id=t-bob", headers=admin)) == (5, 0)
    assert (await client.get("/gateway/v1/tasks?tenant_id=t-bob")).status_code == 403
    tenant = await client.get("/gateway/v1/tenants/t-ann")
    assert said(tenant) == (4, 3)
    assert tenant.json()["past_gateway"]["last_at"] == AT


async def test_signals(client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    answer = (await client.get("/gateway/v1/scale", headers=admin)).json()
    tiers = {one["tier"]: one["past_gateway"] for one in answer["signals"] if one["backend"] == "redis"}
    # What belongs to nobody is standard.
    assert tiers == {"enterprise": 4, "vip": 0, "standard": 12}
    pools = {one["pool"]: (one["past_gateway"], one["past_gateway_at"]) for one in answer["pools"]}
    assert pools == {"A": (0, None), "B": (0, None), "C": (0, None), "redis": (16, AT)}
    metrics = (await client.get("/metrics", headers=admin)).text
    assert 'taskgate_pool_past_gateway{backend="redis",pool="redis"} 16.0\n' in metrics


async def test_commands(run: Any, key: str, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    note = (
        "note: 4 tasks were pushed into redis past the gateway, and not counted above,"
        " 3 payloads were set aside (taskgate dead-letter list); the last at 2026-11-01 12:00:00Z\n"
    )
    monkeypatch.setenv("TASKGATE_API_KEY", key)
    code, text = await run("task", "list")
    assert (code, note in text) == (0, True)
    code, text = await run("tenant", "show", "--tenant", "t-ann")
    assert (code, note in text) == (0, True)
    monkeypatch.setenv("TASKGATE_API_KEY", admin["Authorization"].removeprefix("Bearer "))
    code, text = await run("scale", "signals")
    assert (code, "16 tasks were pushed into redis past the gateway" in text) == (0, True)
    rows = json.loads((await run("scale", "signals", "--json"))[1])
    assert sum(one["past_gateway"] for one in rows if one["tier"] is None) == 16
