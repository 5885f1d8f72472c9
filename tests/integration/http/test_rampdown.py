"""`GET /gateway/v1/migration/rampdown` and `taskgate migration rampdown`: what would move, and what stays and why."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from backends.memory.engine import CAPABILITIES, MemoryEngine
from backends.port import Capability
from gateway.storage.database import Database

PATH = "/gateway/v1/migration/rampdown"
#: id, state, more columns of the dispatch row, `task_logs.worker_id`
TASKS: list[tuple[str, str, dict[str, Any], str | None]] = [
    ("waits1", "queued", {}, None),
    ("waits2", "queued", {"priority": 1}, None),
    ("runs", "running", {"attempt": 1, "worker_id": "w"}, "w"),
    ("starts", "starting", {}, None),
    ("taken", "queued", {}, "legacy-1"),
    ("wanted", "queued", {"wanted_backend": "redis"}, None),
    ("ended", "completed", {}, None),
    ("elsewhere", "queued", {"backend": "temporal", "stage": "live"}, None),
    ("back", "queued", {"backend": "temporal", "stage": "rampdown"}, None),
    ("held", "waiting", {"backend": None, "held": "quota:running"}, None),
    ("new", "waiting", {"backend": None}, None),
]


@pytest.fixture
async def load(database: Database, key: str) -> None:
    """Tasks of ann; one of bob's."""
    for task_id, state, more, worker in [*TASKS, ("bobs", "queued", {"tenant_id": "t-bob"}, None)]:
        await database.execute(
            "INSERT INTO task_logs (id, group_id, task_type, status, payload, worker_id, started_at)"
            " VALUES ($1, 'g', 'noop', 'PROCESSING', '{}', $2::text, CASE WHEN $2::text IS NOT NULL THEN now() END)",
            task_id,
            worker,
        )
        columns = {"tenant_id": "t-ann", "backend": "redis", "stage": "off", "epoch": 1, "state": state, **more}
        places = ", ".join(f"${number}" for number in range(2, len(columns) + 2))
        await database.execute(
            f"INSERT INTO taskgate.dispatch (task_id, group_id, task_type, {', '.join(columns)})"
            f" VALUES ($1, 'g', 'noop', {places})",
            task_id,
            *columns.values(),
        )
    await database.execute("UPDATE taskgate.dispatch SET due_at = now() + interval '1 hour' WHERE task_id = 'new'")


@pytest.fixture
async def admin(serve: Any, load: None, people: Any) -> AsyncIterator[httpx.AsyncClient]:
    engines = {
        "redis": MemoryEngine(name="redis", capabilities=CAPABILITIES - {Capability.FENCED}),
        "temporal": MemoryEngine(name="temporal", capabilities=CAPABILITIES - {Capability.WITHDRAW}),
    }
    async with serve(engines) as (client, _):
        client.headers["Authorization"] = f"Bearer {await people.add_user('root', admin=True)}"
        yield client


async def test_as_the_flag_is_nothing_moves(admin: httpx.AsyncClient) -> None:
    answer = (await admin.get(PATH, params={"tenant_id": "t-ann"})).json()
    assert answer == {
        "tenant_id": "t-ann",
        "stage": "off",
        "dry_run": False,
        "moves": 1,
        "goes_back": 1,
        "on_the_way": 0,
        "later": 1,
        "held": 1,
        "stays": answer["stays"],
        "problem": None,
    }
    stays = {one["why"]: one["tasks"] for one in answer["stays"]}
    assert stays == {"stage_off": 2, "running": 1, "starting": 1, "legacy_worker": 1, "redrive": 1}


async def test_a_dry_run_says_what_would_move(admin: httpx.AsyncClient) -> None:
    answer = (await admin.get(PATH, params={"tenant_id": "t-ann", "dry_run": "true"})).json()
    assert (answer["stage"], answer["moves"], answer["goes_back"], answer["dry_run"]) == ("off", 2, 0, True)
    stays = {one["why"]: one["tasks"] for one in answer["stays"]}
    assert stays == {"running": 1, "starting": 1, "legacy_worker": 1, "redrive": 1}


async def test_an_unknown_tenant_is_said_so(admin: httpx.AsyncClient) -> None:
    answer = await admin.get(PATH, params={"tenant_id": "nobody"})
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:taskgate:error:tenant_not_found")
    assert (await admin.get(PATH)).status_code == 422


async def test_for_administrators_only(admin: httpx.AsyncClient, key: str) -> None:
    params = {"tenant_id": "t-ann"}
    assert (await admin.get(PATH, params=params, headers={"Authorization": f"Bearer {key}"})).status_code == 403
    assert (await admin.get(PATH, params=params, headers={"Authorization": ""})).status_code == 401


async def test_the_command(run: Any, load: None, people: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its gateway has no engines."""
    monkeypatch.setenv("TASKGATE_API_KEY", await people.add_user("root", admin=True))
    code, text = await run("migration", "rampdown", "--tenant", "t-ann", "--dry-run")
    assert code == 0, text
    assert text.splitlines()[:2] == ["tenant t-ann, stage off", "  would move   0"]
    assert "problem      stage rampdown asks for temporal, which is not configured here" in text
    code, text = await run("migration", "rampdown", "--tenant", "t-ann", "--json")
    assert json.loads(text)["held"] == 1
    assert (await run("migration", "rampdown", "--tenant", "nobody"))[0] != 0
