"""`/gateway/v1/migration/drain` and `taskgate migration drain`: for administrators."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from gateway.bootstrap import build_gateway
from gateway.settings import Settings
from gateway.storage.database import Database

PATH = "/gateway/v1/migration/drain"


@pytest.fixture(autouse=True)
async def left(database: Database, key: str) -> None:
    """A task of ann's on Redis, and no Redis here."""
    await database.execute(
        "INSERT INTO task_logs (id, group_id, task_type, status, payload, created_at)"
        " VALUES ('t', 'p-ann', 'probe', 'PROCESSING', E'\\t{}', now());"
    )
    await database.execute(
        "INSERT INTO taskgate.dispatch (task_id, tenant_id, group_id, task_type, state, backend)"
        " VALUES ('t', 't-ann', 'p-ann', 'probe', 'queued', 'redis')"
    )


async def test_a_report(client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    answer = (await client.get(PATH, headers=admin)).json()
    assert (answer["tenant_id"], answer["verdict"], answer["tasks"]) == (None, "blocked", 1)
    assert (answer["postgresql"], answer["redis"]) == (1, None)
    assert "redis is not configured here: ask a gateway that has TASKGATE_REDIS_URL" in answer["blocked_by"]
    assert [(one["task_id"], one["tenant_id"]) for one in answer["slowest"]] == [("t", "t-ann")]
    assert [(one["tenant_id"], one["counts"]["queued"]) for one in answer["tenants"]] == [("t-ann", 1)]
    answer = (await client.get(f"{PATH}?tenant_id=t-bob", headers=admin)).json()
    assert (answer["tenant_id"], answer["stage"], answer["tasks"]) == ("t-bob", "off", 0)


async def test_who_may(client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    for path in (PATH, f"{PATH}/stream"):
        assert (await client.get(path)).status_code == 403
        assert (await client.get(path, headers={"Authorization": ""})).status_code == 401
        answer = await client.get(f"{path}?tenant_id=nobody", headers=admin)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:taskgate:error:tenant_not_found")
        assert (await client.get(f"{path}?tenant_id=a%00b", headers=admin)).status_code == 422


async def test_a_stream(serve_http: Any, admin: dict[str, str], database: Database) -> None:
    gateway = build_gateway(Settings(database_url=database.url), engines={})
    async with (
        serve_http(gateway) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=admin, timeout=60) as http,
        http.stream("GET", f"{PATH}/stream") as answer,
    ):
        lines = answer.aiter_lines()
        assert await anext(lines) == "event: drain"
        assert json.loads((await anext(lines)).removeprefix("data: "))["counts"]["queued"] == 1
        await database.execute("UPDATE taskgate.dispatch SET state = 'completed', finished_at = now()")
        async for line in lines:
            if line.startswith("data: ") and not json.loads(line.removeprefix("data: "))["counts"]["queued"]:
                break
        gateway.drain_watch.end_streams()
        async for _ in lines:
            pass


async def test_the_command(run: Any, admin: dict[str, str], key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_API_KEY", admin["Authorization"].removeprefix("Bearer "))
    code, text = await run("migration", "drain")
    assert code == 0, text
    assert "everybody at " in text
    assert "blocked by: no worker serves redis, where 1 task should run: start one" in text
    assert "tasks left: 1 (rows in postgresql: 1, redis could not be read)" in text
    report = json.loads((await run("migration", "drain", "--tenant", "t-bob", "--json"))[1])
    assert (report["tenant_id"], report["tasks"]) == ("t-bob", 0)
    code, text = await run("migration", "drain", "--tenant", "nobody")
    assert (code, text.count("\n")) == (2, 1)
    monkeypatch.setenv("TASKGATE_API_KEY", key)
    assert (await run("migration", "drain"))[0] == 2
