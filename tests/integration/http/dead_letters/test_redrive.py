"""Redrive: once, where the flag or the caller says, spread over time, with a corrected payload."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from backends.memory.engine import MemoryEngine
from gateway.app import create_app
from gateway.bootstrap import Gateway, build_gateway
from gateway.dead_letters.filter import SQL
from gateway.routing.flag_edit import with_stage
from gateway.routing.flag_file import FlagFile
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.settings import Settings
from gateway.tasks.redaction import MARK
from workers.testing.waiting import until

API = "/gateway/v1/dead-letters"


@pytest.fixture
async def gateway(database: Any, tmp_path: Path) -> AsyncIterator[Gateway]:
    """Over two engines that only keep what they are given; its loops do not run, so nothing happens by itself."""
    path = tmp_path / "flags.json"
    engines = {name: MemoryEngine(name=name) for name in ("redis", "temporal")}
    settings = Settings(database_url=database.url, flags_file=path, max_body_bytes=10_000)
    gateway = build_gateway(settings, engines=engines)
    set_stage(path, "t-bob", Stage.LIVE)
    await gateway.flags.start()
    await gateway.observer.start()
    await gateway.overrides.start()
    yield gateway
    await gateway.close()


def set_stage(path: Path, tenant: str, stage: Stage) -> None:
    FlagFile(path, "task-backend").edit(
        lambda flag: with_stage(flag, Scope(tenant_id=tenant), stage),
        who="test",
        why="test",
        what=tenant,
        describe=lambda _: str(stage),
    )


@pytest.fixture
async def client(gateway: Gateway, people: Any, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator's."""
    app = create_app(gateway)
    admin = await people.add_user("root", admin=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        client.headers["Authorization"] = f"Bearer {admin}"
        yield client


async def started(gateway: Gateway, task_id: str) -> str:
    """The backend that the dispatcher starts the task on."""
    await gateway.dispatcher.sweep()
    engines: dict[str, Any] = dict(gateway.engines)

    def on() -> list[str]:
        return [name for name, engine in engines.items() if any(one.ref.task_id == task_id for one in engine.starts)]

    await until(on, pause=0)
    return on()[0]


async def test_two_redrives_at_once_are_one(client, gateway, fail_task, database) -> None:
    task = await fail_task(tenant_id="t-ann")
    answers = await asyncio.gather(*(client.post(f"{API}/{task}/redrive") for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [202, *[409] * 7]
    refused = next(answer.json() for answer in answers if answer.status_code == 409)
    assert refused["type"] == "urn:taskgate:error:dead_letter_closed"
    row = await database.fetchrow(
        "SELECT t.status, t.retry_count, t.error_message, d.state, d.failures, l.state, l.closed_by, l.redrives"
        " FROM task_logs t JOIN taskgate.dispatch d ON d.task_id = t.id JOIN taskgate.dead_letter l ON l.id = t.id"
    )
    assert tuple(row) == ("PROCESSING", 1, None, "waiting", 0, "redriven", "root", 1)
    assert await started(gateway, task) == "redis"
    assert [len(engine.starts) for engine in gateway.engines.values()] == [1, 0]


WAYS = [
    (Stage.OFF, None, "redis"),
    (Stage.LIVE, None, "temporal"),
    (Stage.OFF, "redis", "redis"),
    (Stage.LIVE, "redis", "redis"),
    (Stage.LIVE, "temporal", "temporal"),
    (Stage.COMPLETE, "temporal", "temporal"),
    (Stage.COMPLETE, "redis", None),
    (Stage.OFF, "temporal", None),
]


async def test_one_that_is_purged_meanwhile(client, fail_task, monkeypatch) -> None:
    task_id = await fail_task()
    fetch = asyncpg.Connection.fetch

    async def purge_before(self: Any, query: str, *values: Any, **more: Any) -> Any:
        if query == SQL.states:
            monkeypatch.setattr(asyncpg.Connection, "fetch", fetch)
            assert (await client.delete(f"{API}/{task_id}")).is_success
        return await fetch(self, query, *values, **more)

    monkeypatch.setattr(asyncpg.Connection, "fetch", purge_before)
    answer = await client.post(f"{API}/{task_id}/redrive")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:taskgate:error:dead_letter_not_found"


async def test_where_it_goes(client, gateway, fail_task) -> None:
    for stage, backend, goes_to in WAYS:
        set_stage(gateway.settings.flags_file, "t-ann", stage)
        await follow(gateway, stage)
        task = await fail_task(tenant_id="t-ann")
        many = await client.post(
            f"{API}/redrive", json={"filter": {"ids": [task]}, "backend": backend, "dry_run": True}
        )
        answer = await client.post(f"{API}/{task}/redrive", json={"backend": backend})
        if goes_to is None:
            for refused in (answer, many):
                assert refused.status_code == 409
                assert refused.json()["type"] == "urn:taskgate:error:backend_not_allowed"
                assert str(stage) in refused.json()["detail"]
        else:
            assert answer.status_code == 202
            assert await started(gateway, task) == goes_to


async def follow(gateway: Gateway, stage: Stage) -> None:
    """Until the flag source has seen the file."""
    from gateway.routing.query import RouteQuery

    await until(lambda: gateway.router.route(RouteQuery("t-ann", "probe", "x", plan=None)).stage is stage)


async def test_a_wanted_backend_counts_only_while_the_stage_allows_it(client, gateway, fail_task) -> None:
    set_stage(gateway.settings.flags_file, "t-ann", Stage.LIVE)
    await follow(gateway, Stage.LIVE)
    task = await fail_task(tenant_id="t-ann")
    assert (await client.post(f"{API}/{task}/redrive", json={"backend": "redis"})).status_code == 202
    set_stage(gateway.settings.flags_file, "t-ann", Stage.COMPLETE)
    await follow(gateway, Stage.COMPLETE)
    assert await started(gateway, task) == "temporal"


async def finish(client: httpx.AsyncClient, gateway: Gateway, body: dict[str, Any]) -> dict[str, Any]:
    """An operation, carried out to its end."""
    begun = await client.post(f"{API}/redrive", json=body)
    assert begun.status_code == 202, begun.text
    while await gateway.operation_runner.step():
        pass
    ended = (await client.get(f"/gateway/v1/operations/{begun.json()['operation_id']}")).json()
    assert ended["state"] == "completed"
    return dict(ended)


async def test_by_filter_with_dry_run_and_spread(client, gateway, fail_task, database) -> None:
    tasks = [await fail_task(tenant_id="t-ann", task_type="one") for _ in range(60)]  # more than one step's
    other = await fail_task(tenant_id="t-ann", task_type="two")
    body: dict[str, Any] = {"filter": {"type": "one"}, "spread_seconds": 6000, "why": "CHG-7"}
    tried = await client.post(f"{API}/redrive", json={**body, "dry_run": True})
    assert tried.status_code == 200
    assert (tried.json()["state"], tried.json()["total"], tried.json()["done"]) == ("completed", 60, 0)
    assert await database.fetchval("SELECT count(*) FROM taskgate.dispatch WHERE state = 'waiting'") == 0
    ended = await finish(client, gateway, body)
    assert (ended["action"], ended["total"], ended["done"], ended["skipped"]) == ("redrive", 60, 60, 0)
    rows = await database.fetch(
        "SELECT extract(epoch FROM due_at)::float8 AS due FROM taskgate.dispatch WHERE state = 'waiting' ORDER BY 1"
    )
    pauses = [later["due"] - row["due"] for row, later in pairwise(rows)]
    assert pauses == pytest.approx([100.0] * 59, abs=20)
    assert await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = $1", other) == "failed"
    assert await database.fetchval("SELECT count(*) FROM taskgate.ledger WHERE why = 'CHG-7'") >= 2
    again = await finish(client, gateway, {"filter": {"ids": tasks}})
    assert (again["total"], again["done"]) == (0, 0)


async def test_an_operation_can_be_aborted(client, gateway, fail_task, database) -> None:
    for _ in range(60):
        await fail_task(tenant_id="t-ann")
    begun = (await client.post(f"{API}/redrive", json={"filter": {}})).json()
    assert await gateway.operation_runner.step()
    aborted = (await client.post(f"/gateway/v1/operations/{begun['operation_id']}/abort")).json()
    assert (aborted["state"], aborted["done"]) == ("aborted", 50)
    assert not await gateway.operation_runner.step()
    assert await database.fetchval("SELECT count(*) FROM taskgate.dispatch WHERE state = 'failed'") == 10


async def test_an_operation_redrives_what_is_the_callers_and_was_there(
    client, gateway, key, fail_task, new_task, transitions, database
) -> None:
    mine, bobs = await fail_task(tenant_id="t-ann"), await fail_task(tenant_id="t-bob")
    client.headers["Authorization"] = f"Bearer {key}"
    begun = await client.post(f"{API}/redrive", json={"filter": {}})
    later = await fail_task(tenant_id="t-ann")
    while await gateway.operation_runner.step():
        pass
    rows = await database.fetch("SELECT id, state FROM taskgate.dead_letter")
    assert {row["id"]: row["state"] for row in rows} == {mine: "redriven", bobs: "open", later: "open"}
    assert begun.json()["tenant_ids"] == ["t-ann"]


async def test_a_unique_key_that_is_taken_stands_in_the_way_of_one_only(
    client, gateway, new_task, fail_task, database
) -> None:
    blocked = await fail_task(tenant_id="t-ann", unique_key="k")
    free = await fail_task(tenant_id="t-ann")
    await new_task(tenant_id="t-ann", unique_key="k")
    answer = await client.post(f"{API}/{blocked}/redrive")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:taskgate:error:redrive_blocked")
    ended = await finish(client, gateway, {"filter": {}})
    assert (ended["done"], [error["task_id"] for error in ended["errors"]]) == (1, [blocked])
    assert await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = $1", free) == "waiting"


async def test_a_task_whose_row_is_gone(client, fail_task, database) -> None:
    task = await fail_task(tenant_id="t-ann")
    await database.execute("DELETE FROM task_logs WHERE id = $1", task)
    assert (await client.get(f"{API}/{task}")).status_code == 200
    answer = await client.post(f"{API}/{task}/redrive")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:taskgate:error:redrive_blocked")


async def test_an_edit_is_run_and_the_original_is_kept(client, gateway, fail_task, database) -> None:
    payload = {"content": "typo", "api_key": "k", "depth": {"a": 1, "b": 2}, "old": 1, "group_id": "g"}
    task = await fail_task(tenant_id="t-ann", payload=payload)
    patch = {"content": "text", "old": None, "depth": {"b": 3}, "new": [1]}
    answer = await client.post(f"{API}/{task}/redrive", json={"edit": {"patch": patch}, "why": "typo"})
    assert answer.status_code == 202, answer.text
    await started(gateway, task)
    (start,) = gateway.engines["redis"].starts  # type: ignore[attr-defined]
    assert start.payload == {
        "content": "text",
        "api_key": "k",
        "depth": {"a": 1, "b": 3},
        "new": [1],
        "group_id": "g",
    }
    letter = (await client.get(f"{API}/{task}")).json()
    (edit,) = letter["edits"]
    assert (edit["edited_by"], edit["payload"]["old"], edit["payload"]["content"]) == ("root", 1, MARK)
    kept = json.loads(await database.fetchval("SELECT payload FROM taskgate.payload_edit"))
    assert kept["content"] == "typo"
    audit = await database.fetchrow("SELECT evidence::text AS detail, why FROM taskgate.ledger WHERE kind LIKE 'dead%'")
    assert json.loads(audit["detail"])["edited_keys"] == ["content", "depth", "new", "old"]
    assert "typo" not in audit["detail"]
    assert audit["why"] == "typo"


async def test_a_whole_payload_keeps_its_place(client, fail_task, database) -> None:
    task = await fail_task(tenant_id="t-ann", project_id="p-ann", payload={"content": "x", "group_id": "g"})
    edit = {"payload": {"content": "y", "project_id": "p-ann", "task_id": "other"}}
    assert (await client.post(f"{API}/{task}/redrive", json={"edit": edit})).status_code == 202
    stored = await database.fetchval("SELECT payload::text FROM task_logs WHERE id = $1", task)
    assert stored.startswith("\t")
    payload = json.loads(stored)
    assert payload.pop("timestamp") > 1.5
    assert payload == {"content": "y", "project_id": "p-ann", "group_id": "g", "task_id": task, "task_type": "probe"}


BAD_EDITS = [
    ({}, 422),
    ({"payload": {}, "patch": {}}, 422),
    ({"payload": []}, 422),
    ({"patch": {"content": MARK}}, 422),
    ({"payload": {"deep": [{"a": MARK}]}}, 422),
    ({"patch": {"content": "x" * 10_001}}, 413),
    ({"patch": {"group_id": "other"}}, 403),
    ({"patch": {"tenant_id": "t-bob"}}, 403),
    ({"patch": {"user_id": "bob"}}, 403),
    ({"patch": {"project_id": 7}}, 403),
    ({"patch": {"memory_id": "m"}}, 403),
    ({"patch": {"memory_id": {}}}, 403),
]


async def test_an_edit_is_checked_like_a_submission(client, fail_task, database) -> None:
    task = await fail_task(tenant_id="t-ann")
    before = await database.fetchval("SELECT payload::text FROM task_logs WHERE id = $1", task)
    for edit, status in BAD_EDITS:
        answer = await client.post(f"{API}/{task}/redrive", json={"edit": edit})
        assert answer.status_code == status, answer.text
        assert await database.fetchval("SELECT payload::text FROM task_logs WHERE id = $1", task) == before
        assert await database.fetchval("SELECT state FROM taskgate.dead_letter") == "open"
        assert await database.fetchval("SELECT count(*) FROM taskgate.payload_edit") == 0


async def test_of_an_edit_and_a_redrive_at_once_only_one_has_an_effect(client, fail_task, database) -> None:
    task = await fail_task(tenant_id="t-ann")
    edits = [{"edit": {"patch": {"content": str(number)}}} for number in range(4)]
    answers = await asyncio.gather(*(client.post(f"{API}/{task}/redrive", json=edit) for edit in edits))
    (winner,) = [number for number, answer in enumerate(answers) if answer.status_code == 202]
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]
    stored = json.loads(await database.fetchval("SELECT payload::text FROM task_logs WHERE id = $1", task))
    assert stored["content"] == str(winner)
    assert await database.fetchval("SELECT count(*) FROM taskgate.payload_edit") == 1
