"""`/gateway/v1/workers`, and `taskgate workers` in front of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.fleet.fleet import Fleet
from gateway.storage.database import Database

ADD = (
    "INSERT INTO taskgate.process (process_id, kind, pool, backend, host, pid, version, slots, task_types, lock_key,"
    " renewed_at, lost_at) VALUES ($1, $2, $3, $4, 'box/boot/1', 7, '0.1', 20, '{add_episode}', 1,"
    " $5::text::timestamptz, $6::text::timestamptz)"
)


@pytest.fixture
async def fleet(database: Database) -> None:
    """Workers of two pools, one that is gone, one that ended, one that is silent, and a gateway; w-a runs a task."""
    for values in (
        ("w-a", "worker", "A", "temporal", "tomorrow", None),
        ("w-redis", "worker", "redis", "redis", "now", None),
        ("w-silent", "worker", "C", "temporal", "yesterday", None),
        ("w-lost", "worker", "C", "temporal", "now", "now"),
        ("w-ended", "worker", "C", "temporal", "-infinity", "now"),
        ("g-1", "gateway", None, None, "now", None),
    ):
        await database.execute(ADD, *values)
    await database.execute(
        "INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, state, backend, epoch, attempt,"
        " worker_id, claimed_at, queue) VALUES"
        " ('t-1', 'g', 'add_episode', 't-ann', 'running', 'temporal', 1, 2, 'w-a', now() - interval '90 s', 'q'),"
        " ('t-2', 'g', 'add_episode', 't-ann', 'completed', 'temporal', 1, 1, 'w-a', now(), 'q')"
    )
    await database.execute(
        "INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id)"
        " VALUES ('t-1', 2, 1, 'temporal', 'w-a')"
    )


@pytest.fixture
async def admin(serve: Any, key: str, fleet: None, people: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with serve() as (client, _):
        client.headers["Authorization"] = f"Bearer {await people.add_user('root', admin=True)}"
        yield client


async def shown(client: httpx.AsyncClient, **query: Any) -> dict[str, dict[str, Any]]:
    answer = await client.get("/gateway/v1/workers", params=query)
    assert answer.status_code == 200, answer.text
    return {member["process_id"]: member for member in answer.json()["workers"]}


async def test_the_living_workers_and_their_slots(admin: httpx.AsyncClient) -> None:
    found = await shown(admin)
    assert found.keys() == {"w-a", "w-redis", "w-silent"}
    assert (found["w-a"]["slots"], found["w-a"]["slots_used"], found["w-redis"]["slots_used"]) == (20, 1, 0)
    assert (found["w-a"]["state"], found["w-silent"]["state"]) == ("alive", "silent")
    assert (found["w-a"]["pool"], found["w-a"]["host"], found["w-a"]["version"]) == ("A", "box/boot/1", "0.1")
    assert found["w-a"]["task_types"] == ["add_episode"]


async def test_filters(admin: httpx.AsyncClient) -> None:
    assert (await shown(admin, pool="A")).keys() == {"w-a"}
    assert (await shown(admin, backend="redis")).keys() == {"w-redis"}
    assert (await shown(admin, kind="gateway")).keys() == {"g-1"}
    assert (await shown(admin, kind="all", limit=2)).keys() < (await shown(admin, kind="all")).keys()
    everybody = await shown(admin, gone=True)
    assert (everybody["w-lost"]["state"], everybody["w-ended"]["state"]) == ("lost", "ended")
    assert everybody["w-ended"]["last_seen"] is None


async def test_one_worker_and_what_it_runs(admin: httpx.AsyncClient) -> None:
    worker = (await admin.get("/gateway/v1/workers/w-a")).json()
    (task,) = worker["running"]
    assert (task["task_id"], task["tenant_id"], task["attempt"], task["queue"]) == ("t-1", "t-ann", 2, "q")
    assert 90 <= task["seconds"] < 900
    assert (await admin.get("/gateway/v1/workers/w-lost")).json()["running"] == []


async def test_an_unknown_worker(admin: httpx.AsyncClient) -> None:
    answer = await admin.get("/gateway/v1/workers/nobody")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:taskgate:error:worker_not_found")


async def drain(client: httpx.AsyncClient, worker: str, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = await client.post(f"/gateway/v1/workers/{worker}/drain", json=body or {"why": "its host goes"})
    return answer.status_code, answer.json()


async def test_one_that_is_to_leave(admin: httpx.AsyncClient, database: Database) -> None:
    status, marked = await drain(admin, "w-a")
    assert (status, marked["drain_by"], marked["drain_why"]) == (200, "root", "its host goes")
    assert await drain(admin, "w-a", why="once more") == (200, marked)
    assert (await shown(admin))["w-a"]["drain_at"] == marked["drain_at"]
    rows = await database.fetch("SELECT scope, why FROM taskgate.ledger WHERE kind = 'worker.drain'")
    assert [(row["scope"], row["why"]) for row in rows] == [("worker:w-a", "its host goes")]


async def test_what_cannot_be_drained(admin: httpx.AsyncClient, key: str, database: Database) -> None:
    await database.execute(
        "INSERT INTO task_logs (id, group_id, task_type, status, payload, worker_id, created_at, started_at)"
        " VALUES ('old', 'g', 'add_episode', 'PROCESSING', '{}', 'legacy-1', now(), now())"
    )
    for worker, says in (
        ("legacy-1", "is a legacy worker, which reads no mark: stop its process where it runs"),
        ("g-1", "is a gateway: send its process SIGTERM, and it drains"),
        ("w-lost", "is gone: there is nothing to drain, see the list of workers"),
        ("w-ended", "is gone: there is nothing to drain, see the list of workers"),
    ):
        status, problem = await drain(admin, worker)
        assert (status, problem["type"]) == (409, "urn:taskgate:error:worker_not_drainable")
        assert problem["detail"] == f"{worker} {says}"
    assert (await drain(admin, "nobody"))[0] == 404
    for wrong in ({"why": ""}, {"why": "x", "force": True}, {"reason": "x"}):
        assert (await drain(admin, "w-a", **wrong))[0] == 422
    admin.headers["Authorization"] = f"Bearer {key}"
    assert (await drain(admin, "w-a"))[0] == 403
    assert await database.fetchval("SELECT count(*) FROM taskgate.process WHERE drain_at IS NOT NULL") == 0


@pytest.mark.parametrize("path", ["/gateway/v1/workers", "/gateway/v1/workers/w-a"])
async def test_for_administrators_only(admin: httpx.AsyncClient, key: str, path: str) -> None:
    assert (await admin.get(path, headers={"Authorization": f"Bearer {key}"})).status_code == 403
    assert (await admin.get(path, headers={"Authorization": ""})).status_code == 401


async def test_the_command(run: Any, fleet: None, people: Any, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_API_KEY", await people.add_user("root", admin=True))
    code, text = await run("workers")
    assert code == 0, text
    assert "3 workers on 1 hosts, 1 of 60 slots in use" in text
    assert [line.split()[0] for line in text.splitlines()[2:]] == ["w-redis", "w-a", "w-silent"]
    _, text = await run("workers", "--json", "--all")
    assert len(json.loads(text)) == 6
    _, text = await run("workers", "w-a")
    assert "t-1" in text
    assert "t-ann" in text
    code, text = await run("workers", "drain", "w-a", "--why", "its host goes")
    assert (code, text.strip()) == (0, "w-a drains: it runs 1 tasks")
    assert (await run("workers", "drain", "nobody", "--why", "x"))[0] == 2
    assert "its host goes" in (await run("workers", "w-a"))[1]
    _, text = await run("workers", "--watch", "--seconds", "0.1", "--times", "2", "--pool", "A")
    assert text.count("1 workers on 1 hosts") == 2
    assert (await run("workers", "nobody"))[0] == 2
    monkeypatch.setenv("TASKGATE_API_KEY", key)
    code, text = await run("workers")
    assert code == 2
    assert "Only administrators" in text
    monkeypatch.setenv("TASKGATE_URL", "http://127.0.0.1:9")
    code, text = await run("workers")
    assert code == 1
    assert "no gateway answers" in text


@pytest.mark.parametrize(
    ("lease", "states"), [(15.0, ["alive", "alive", "silent"]), (5.0, ["alive", "silent", "silent"])]
)
async def test_silent_is_who_missed_two_renewals(database: Database, lease: float, states: list[str]) -> None:
    """With a lease of 15 s one is due every 3 s, with 5 s every second."""
    for seconds in (0.5, 4.0, 8.0):
        await database.execute(ADD, f"w-{seconds}", "worker", "A", "temporal", "now", None)
        await database.execute(
            "UPDATE taskgate.process SET renewed_at = now() - make_interval(secs => $2) WHERE process_id = $1",
            f"w-{seconds}",
            seconds,
        )
    members = await Fleet(database, lease_seconds=lease).members()
    assert [member.state for member in sorted(members, key=lambda member: member.process_id)] == states
