"""`GET /gateway/v1/overview` and `taskgate overview`: how tasks flow, and what needs attention, on real rows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from backends.errors import EngineUnavailable
from backends.memory.engine import MemoryEngine
from gateway.migration.guardrails.places import AUTHOR
from gateway.migration.ledger.writer import append_step
from gateway.overview.overview import MOST, SQL, WINDOW_SECONDS
from gateway.routing.overrides import set_override
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.storage.database import Database

#: id, tenant, backend, state, due in so many seconds, began so many after that, ended so many ago, why it is held
TASKS = [
    ("queued", "t-ann", "temporal", "queued", -30, None, None, None),
    ("younger", "t-ann", "temporal", "queued", -10, None, None, None),
    ("runs", "t-ann", "temporal", "running", -90, 4, None, None),
    ("quick", "t-ann", "temporal", "completed", -20, 1, 5, None),
    ("quicker", "t-ann", "temporal", "completed", -20, 2, 5, None),
    ("old", "t-ann", "temporal", "completed", -7200, 3000, 4000, None),
    ("broken", "t-ann", "temporal", "failed", -20, 3, 5, None),
    ("stopped", "t-ann", None, "stopped", -20, None, 5, None),
    ("on-redis", "t-bob", "redis", "queued", -5, None, None, None),
    ("new", "t-bob", None, "waiting", -40, None, None, None),
    ("later", "t-bob", None, "waiting", 600, None, None, None),
    ("held", "t-bob", None, "waiting", -1, None, None, "quota:running"),
]
ADD = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, backend, state, due_at, created_at, queued_at,
                               claimed_at, finished_at, held, attempt)
VALUES ($1, 'g', 'noop', $2, $3, $4, now() + make_interval(secs => $5), now() + make_interval(secs => LEAST($5, 0)),
        CASE WHEN $4 = 'queued' THEN now() + make_interval(secs => $5) END,
        now() + make_interval(secs => $5 + $6), now() - make_interval(secs => $7), $8,
        CASE WHEN $6::float8 IS NULL THEN 0 ELSE 1 END)
"""
LETTER = """
INSERT INTO taskgate.dead_letter (id, kind, tenant_id, task_type, backend, reason, died_at)
VALUES ($1, 'task', $2, 'noop', 'temporal', 'refused', now() - make_interval(secs => $3))
"""


class Away(MemoryEngine):
    """An engine that does not answer."""

    async def check_health(self) -> None:
        raise EngineUnavailable


@pytest.fixture
async def root(database: Database, key: str, people: Any) -> str:
    for task in TASKS:
        await database.execute(ADD, *task)
    for letter in (("d-new", "t-ann", 5), ("d-old", "t-ann", 5000), ("d-bob", "t-bob", 5000)):
        await database.execute(LETTER, *letter)
    return str(await people.add_user("root", admin=True))


@pytest.fixture
async def client(serve: Any, root: str) -> AsyncIterator[httpx.AsyncClient]:
    async with serve() as (client, _):
        yield client


async def look(client: httpx.AsyncClient, key: str) -> tuple[dict[Any, Any], list[dict[str, Any]]]:
    answer = await client.get("/gateway/v1/overview", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["window_seconds"], found["most"]) == (WINDOW_SECONDS, MOST)
    return {flow["backend"]: flow for flow in found["flows"]}, found["concerns"]


async def test_tasks_by_backend_and_stage(client: httpx.AsyncClient, root: str) -> None:
    flows, _ = await look(client, root)
    temporal = flows["temporal"]
    counts = ("waiting", "running", "completed", "failed", "stopped", "dead", "new_dead", "begun")
    assert [temporal[name] for name in counts] == [2, 1, 2, 1, 0, 3, 1, 4]
    assert 30 <= temporal["oldest_seconds"] < 300
    # Of 1, 2, 3 and 4 seconds; the one that ended an hour ago counts no more.
    assert (temporal["dispatch_p50_seconds"], temporal["dispatch_p95_seconds"]) == (
        pytest.approx(2, abs=0.1),
        pytest.approx(4, abs=0.1),
    )
    here = flows[None]
    assert [here[name] for name in ("waiting", "later", "held", "stopped", "running")] == [1, 1, 1, 1, 0]
    assert 40 <= here["oldest_seconds"] < 300
    assert (flows["redis"]["waiting"], flows["redis"]["dispatch_p50_seconds"]) == (1, None)


async def test_a_pause_that_the_engine_keeps_is_for_later(
    client: httpx.AsyncClient, root: str, database: Database, transitions: Any, new_worker: Any
) -> None:
    before = (await look(client, root))[0]["temporal"]
    await new_worker("w1", backend="temporal")
    await database.execute(
        "INSERT INTO task_logs (id, group_id, task_type, status, payload)"
        " VALUES ('queued', 'g', 'noop', 'PROCESSING', '{}')"
    )
    claim = await transitions.claim("queued", "temporal", None, "w1", with_payload=False)
    await transitions.fail(
        "queued", claim.attempt, "boom", final=False, engine_retries=True, delay=timedelta(minutes=10)
    )
    after = (await look(client, root))[0]["temporal"]
    assert (after["waiting"], after["later"]) == (before["waiting"] - 1, before["later"] + 1)
    assert after["oldest_seconds"] < before["oldest_seconds"]


async def test_others_see_their_tenants(client: httpx.AsyncClient, key: str, database: Database) -> None:
    await database.execute(
        "INSERT INTO taskgate.pause (pause_id, tenant_id, why, set_by) VALUES ('p', 't-bob', 'x', 'root')"
    )
    await database.execute(
        "INSERT INTO taskgate.pause (pause_id, tenant_id, why, set_by) VALUES ('q', 't-ann', 'y', 'root')"
    )
    flows, concerns = await look(client, key)
    assert [flows["temporal"][name] for name in ("waiting", "running", "completed", "dead")] == [2, 1, 2, 2]
    assert "redis" not in flows or flows["redis"]["waiting"] == 0
    assert [flows[None][name] for name in ("waiting", "later", "held", "oldest_seconds")] == [0, 0, 0, None]
    # Neither engines, workers, plans nor guardrails, nor another tenant's pause.
    assert [(one["kind"], one["tenant_id"]) for one in concerns] == [("dead_letters_grow", None), ("paused", "t-ann")]


async def test_a_tenant_s_waiting_tasks_are_counted_for_it(serve: Any, root: str, people: Any) -> None:
    await people.add_user("bert")
    await people.add_member("bert", "t-bob")
    async with serve() as (client, _):
        flows, _ = await look(client, await people.add_key("bert"))
    assert [flows[None][name] for name in ("waiting", "later", "held")] == [1, 1, 1]
    assert 40 <= flows[None]["oldest_seconds"] < 300
    assert flows["temporal"]["dead"] == 1


async def test_what_needs_attention_first(serve: Any, root: str, database: Database) -> None:
    await database.execute(
        "INSERT INTO taskgate.guardrail (tenant_id, phase, redis_stage, since, rollbacks, rolled_back_at, concerns)"
        " SELECT t, 'rolled_back', 'off', '{}', 1, now(), '{}' FROM unnest('{t-ann,t-bob}'::text[]) AS t"
    )
    # A person has cleared the override of t-bob, and keeps it on Redis by the flag.
    await set_override(database, Scope("t-ann"), Stage.OFF, by=AUTHOR, why="it failed")
    await database.execute(
        "INSERT INTO taskgate.guardrail_event (tenant_id, kind, why, who, evidence)"
        " VALUES ('t-ann', 'rolled_back', 'it failed', '', '{}')"
    )
    await database.execute("INSERT INTO taskgate.guardrail_freeze (why) VALUES ('all at once')")
    await database.execute(
        "INSERT INTO taskgate.plan (name, document, state, says, created_by, moved_at, summary)"
        " VALUES ('spring', 'x', 'held', 'wave 2 is held', 'root', now(), '{}')"
    )
    async with database.transaction() as connection:
        for state in ("held", "running", "held", "held"):
            await append_step(connection, "spring", "root", "x", {"state": state})
    entries = await database.fetch("SELECT at FROM taskgate.ledger WHERE scope = 'plan:spring' ORDER BY id")
    await database.execute(
        "INSERT INTO taskgate.pause (pause_id, task_type, why, set_by) VALUES ('p', 'noop', 'x', 'root')"
    )
    async with serve(engines={"temporal": Away("temporal")}) as (client, _):
        _, concerns = await look(client, root)
    shown = [(one["kind"], one["backend"], one["tenant_id"] or one["plan"] or one["task_type"]) for one in concerns]
    assert shown[:2] == [("engine_away", "temporal", None), ("no_worker", "temporal", "noop")]
    ranked = [one for one in shown if one[0] not in ("no_worker", "routing")]
    assert ranked == [
        ("engine_away", "temporal", None),
        ("guardrails_frozen", None, None),
        ("tenant_taken_back", None, "t-ann"),
        ("plan_held", None, "spring"),
        ("dead_letters_grow", "temporal", None),
        ("paused", None, "noop"),
    ]
    [plan] = [one for one in concerns if one["kind"] == "plan_held"]
    assert datetime.fromisoformat(plan["since"]) == entries[2]["at"]
    says = {one["kind"]: one["says"] for one in concerns}
    assert (says["tenant_taken_back"], says["plan_held"], says["paused"]) == ("it failed", "wave 2 is held", "x")


async def test_the_command(run: Any, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_API_KEY", root)
    code, text = await run("overview")
    assert code == 0, text
    assert "dead letters grow: temporal: 1 task" in text
    code, text = await run("overview", "--json")
    assert (code, json.loads(text)["most"]) == (0, MOST)


@pytest.mark.parametrize("tenants", [None, ["t-ann"]])
async def test_history_is_not_read(database: Database, tenants: list[str] | None) -> None:
    """However many tasks are over: none of the statements reads the whole table."""
    await database.execute(
        "INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, backend, state, phase, due_at,"
        " created_at, finished_at)"
        " SELECT 'h' || n, 'g', 'noop', 't-' || n % 50, 'temporal', 'completed', 'completed', now(),"
        " now(), now() - interval '1 day'"
        " FROM generate_series(1, 30000) AS n"
    )
    await database.execute("ANALYZE taskgate.dispatch")
    mine = SQL.of_all if tenants is None else SQL.of_tenants
    for query, arguments in (
        (SQL.waiting if tenants is None else SQL.waiting_of_tenants, (tenants, MOST)),
        (SQL.open.replace("/*mine*/", mine), (tenants,)),
        (SQL.ended.replace("/*mine*/", mine), (tenants, WINDOW_SECONDS)),
    ):
        plan = "\n".join(row[0] for row in await database.fetch(f"EXPLAIN {query}", *arguments))
        assert "Seq Scan on dispatch" not in plan, plan
