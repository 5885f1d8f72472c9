"""`GET /gateway/v1/scale`, `GET /metrics` and `taskgate scale` on real rows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from gateway.storage.database import Database

#: id, tenant, backend, state, seconds until due, age in seconds, why it is held
TASKS = [
    ("queued", "t-ann", "temporal", "queued", 0, 30, None),
    ("younger", "t-ann", "temporal", "queued", 0, 10, None),
    ("runs", "t-ann", "temporal", "running", 0, 90, None),
    ("done", "t-ann", "temporal", "completed", 0, 20, None),
    ("on-redis", "t-bob", "redis", "queued", 0, 5, None),
    ("runs-on-redis", "t-bob", "redis", "running", 0, 5, None),
    ("legacy", "t-bob", "redis", "running", 0, 5, None),
    ("new", "t-bob", None, "waiting", 0, 1, None),
    ("later", "t-bob", None, "waiting", 600, 1, None),
    ("held", "t-bob", None, "waiting", 0, 1, "quota"),
]
#: Runs of DAGs, one that runs and one that has ended; and tasks whose type is carried out as a DAG.
RUNS = [
    ("run", "t-ann", "temporal", "running", 0, 20, None),
    ("run-done", "t-ann", "temporal", "completed", 0, 20, None),
    ("as-run", "t-ann", "temporal", "running", 0, 600, None),
    ("as-run-done", "t-ann", "temporal", "completed", 0, 600, None),
]
ADD = """
WITH log AS (
    INSERT INTO task_logs (id, group_id, task_type, status, payload, created_at, completed_at)
    VALUES ($1, 'g', 'noop', 'PROCESSING', '{}', now() - make_interval(secs => $6),
            CASE WHEN $4 = 'completed' THEN now() END)
)
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, backend, state, due_at, created_at, queued_at,
                               claimed_at, finished_at, held)
VALUES ($1, 'g', 'noop', $2, $3, $4, now() + make_interval(secs => $5), now() - make_interval(secs => $6),
        now() - make_interval(secs => $6), now() - interval '2 s', CASE WHEN $4 = 'completed' THEN now() END, $7)
"""


@pytest.fixture
async def load(database: Database, key: str) -> None:
    """Tasks of ann (enterprise) on Temporal and of bob (standard) on Redis, a worker of each, and a legacy worker."""
    for task in TASKS:
        await database.execute(ADD, *task)
    await database.execute(
        "INSERT INTO taskgate.process (process_id, kind, pool, backend, host, pid, version, slots, lock_key)"
        " VALUES ('w', 'worker', 'A', 'temporal', 'box', 1, '1', 20, 1),"
        " ('r', 'worker', 'redis', 'redis', 'box', 2, '1', 20, 2)"
    )
    workers = {"runs": "w", "done": "w", "runs-on-redis": "r", "legacy": "somebody else"}
    await database.execute(
        "UPDATE taskgate.dispatch d SET worker_id = w.id FROM unnest($1::text[], $2::text[]) AS w (task, id)"
        " WHERE d.task_id = w.task",
        list(workers),
        list(workers.values()),
    )


@pytest.fixture
async def admin(serve: Any, load: None, people: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with serve() as (client, _):
        client.headers["Authorization"] = f"Bearer {await people.add_user('root', admin=True)}"
        yield client


async def test_signals(admin: httpx.AsyncClient) -> None:
    answer = (await admin.get("/gateway/v1/scale")).json()
    signals = {(one["backend"], one["tier"]): one for one in answer["signals"]}
    ann = signals["temporal", "enterprise"]
    assert (ann["pool"], ann["backlog"], ann["running"], ann["demand"]) == ("A", 2, 1, 3)
    assert 30 <= ann["oldest_seconds"] < 300
    # Three of ann's tasks came, and one ended, within the minute.
    assert ann["arrivals_per_second"] == pytest.approx(3 / 60, abs=0.001)
    assert (ann["completions_per_second"], ann["run_seconds"]) == (pytest.approx(1 / 60, abs=0.001), pytest.approx(2))
    assert (signals["redis", "standard"]["backlog"], signals["redis", "standard"]["pool"]) == (1, "redis")
    # Neither what is not due nor what is held back is backlog.
    assert signals[None, "standard"]["backlog"] == 1
    assert signals["temporal", "vip"]["demand"] == 0
    pools = {one["pool"]: one for one in answer["pools"]}
    assert pools.keys() == {"A", "B", "C", "redis"}
    assert (pools["A"]["workers"], pools["A"]["slots"], pools["A"]["demand"]) == (1, 20, 3)
    # What a legacy worker runs takes no slot of the pool.
    redis = pools["redis"]
    assert (redis["running"], redis["on_legacy_workers"], redis["backlog"], redis["demand"]) == (2, 1, 1, 2)


async def test_a_pause_that_the_engine_keeps_is_no_backlog(
    admin: httpx.AsyncClient, database: Database, transitions: Any
) -> None:
    claim = await transitions.claim("queued", "temporal", None, "w", with_payload=False)
    pause = timedelta(minutes=10)
    await transitions.fail("queued", claim.attempt, "boom", final=False, engine_retries=True, delay=pause)

    async def ann() -> dict[str, Any]:
        signals = (await admin.get("/gateway/v1/scale")).json()["signals"]
        return next(one for one in signals if (one["backend"], one["tier"]) == ("temporal", "enterprise"))

    found = await ann()
    assert (found["backlog"], found["running"]) == (1, 1)
    assert 10 <= found["oldest_seconds"] < 30
    # It waits since it is due again.
    await database.execute("UPDATE taskgate.dispatch SET queued_at = queued_at - interval '620 s' WHERE failures > 0")
    found = await ann()
    assert found["backlog"] == 2
    assert 20 <= found["oldest_seconds"] < 40


async def test_what_its_worker_hands_back_waits_anew(admin: httpx.AsyncClient, transitions: Any) -> None:
    claim = await transitions.claim("queued", "temporal", None, "w", with_payload=False)
    assert await transitions.hand_back("queued", claim.attempt)
    signals = (await admin.get("/gateway/v1/scale")).json()["signals"]
    found = next(one for one in signals if (one["backend"], one["tier"]) == ("temporal", "enterprise"))
    assert found["backlog"] == 2
    assert 10 <= found["oldest_seconds"] < 30


async def test_metrics(admin: httpx.AsyncClient) -> None:
    answer = await admin.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'taskgate_tasks_backlog{backend="temporal",pool="A",tier="enterprise"} 2.0\n' in answer.text
    assert 'taskgate_pool_slots{backend="temporal",pool="A"} 20.0\n' in answer.text


async def test_a_run_of_a_dag_takes_no_slot(admin: httpx.AsyncClient, database: Database) -> None:
    """It is open for as long as its nodes and approvals take: more workers would not end it sooner."""
    before = (await admin.get("/gateway/v1/scale")).json()
    for task in RUNS:
        await database.execute(ADD, *task)
    await database.execute(
        "UPDATE taskgate.dispatch SET claimed_at = now() - interval '1 h',"
        " dag_run_id = CASE WHEN starts_with(task_id, 'run') THEN task_id END WHERE task_id = ANY ($1::text[])",
        [task[0] for task in RUNS],
    )
    after = (await admin.get("/gateway/v1/scale")).json()
    ann, ann_before = (
        next(one for one in answer["signals"] if (one["backend"], one["tier"]) == ("temporal", "enterprise"))
        for answer in (after, before)
    )
    for name in ("running", "demand", "arrivals_per_second", "run_seconds"):
        assert ann[name] == pytest.approx(ann_before[name], abs=0.01), name
    (pool,) = [one for one in after["pools"] if one["pool"] == "A"]
    assert (pool["running"], pool["demand"]) == (1, 3)
    assert pool["running"] - pool["on_legacy_workers"] == 1


@pytest.mark.parametrize("path", ["/gateway/v1/scale", "/metrics"])
async def test_for_administrators_only(admin: httpx.AsyncClient, key: str, path: str) -> None:
    assert (await admin.get(path, headers={"Authorization": f"Bearer {key}"})).status_code == 403
    assert (await admin.get(path, headers={"Authorization": ""})).status_code == 401


async def test_the_commands(run: Any, load: None, people: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_API_KEY", await people.add_user("root", admin=True))
    code, text = await run("scale", "signals")
    assert code == 0, text
    assert text.split()[:4] == ["pool", "backend", "workers", "slots"]
    found = json.loads((await run("scale", "signals", "--json"))[1])
    of_pool_a = [(one["tier"], one["workers"], one["backlog"]) for one in found if one["pool"] == "A"]
    assert of_pool_a == [(None, 1, 2), ("enterprise", None, 2)]
    code, text = await run("scale", "plan", "--min", "3")
    assert code == 0, text
    assert "pool A (temporal): 1 → 3 workers (+2)" in text
    assert "between 3 and 100: 3" in text
    _, text = await run("scale", "plan", "--json", "--slots-per-worker", "1")
    plans = {one["pool"]: one for one in json.loads(text)}
    # Two waiting tasks of 2 s, gone in 5 s, and 0.05 tasks/s at 70 %: less than one slot, and one task runs.
    assert plans["A"]["workers"] == 1
    assert (await run("scale", "plan", "--min", "5", "--max", "2"))[0] == 2
