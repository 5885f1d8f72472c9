"""`/gateway/v1/operations`: one action on each task of a selection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.bootstrap import Gateway
from gateway.operations import runner as module
from gateway.operations.runner import CHUNK
from gateway.storage.database import Database
from workers.testing.waiting import eventually

URL = "/gateway/v1/operations"
TASKS = "/gateway/v1/tasks"


@pytest.fixture
async def served(serve: Any, key: str) -> AsyncIterator[tuple[httpx.AsyncClient, Gateway]]:
    async with serve() as (client, gateway):
        client.headers["Authorization"] = f"Bearer {key}"
        yield client, gateway


async def submit(client: httpx.AsyncClient, count: int, **fields: Any) -> list[str]:
    tasks = [{"type": "probe", "delay_seconds": 3600, **fields}] * count
    return [item["task_id"] for item in (await client.post(f"{TASKS}/batch", json={"tasks": tasks})).json()["tasks"]]


async def begin(client: httpx.AsyncClient, action: str, which: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = await client.post(URL, json={"action": action, "filter": which, **more})
    assert answer.status_code == (200 if more.get("dry_run") else 202), answer.text
    return dict(answer.json())


async def finish(client: httpx.AsyncClient, gateway: Gateway, operation: dict[str, Any]) -> dict[str, Any]:
    while await gateway.operation_runner.step():
        pass
    return dict((await client.get(f"{URL}/{operation['operation_id']}")).json())


def counts(operation: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(operation[name] for name in ("state", "total", "done", "skipped", "failed"))


async def states(database: Database) -> dict[str, int]:
    rows = await database.fetch("SELECT state, count(*) AS n FROM taskgate.dispatch GROUP BY 1")
    return {row["state"]: row["n"] for row in rows}


async def test_cancel_then_retry(served: Any, database: Database) -> None:
    client, gateway = served
    tasks = CHUNK + 7
    await submit(client, tasks, labels={"run": "1"})
    await submit(client, 3, labels={"run": "2"})
    operation = await begin(client, "cancel", {"labels": {"run": "1"}}, why="wrong input")
    assert counts(operation) == ("running", tasks, 0, 0, 0)
    assert len(operation["sample"]) == 10
    await gateway.operation_runner.step()
    halfway = (await client.get(f"{URL}/{operation['operation_id']}")).json()
    assert counts(halfway) == ("running", tasks, CHUNK, 0, 0)
    assert counts(await finish(client, gateway, operation)) == ("completed", tasks, tasks, 0, 0)
    assert await states(database) == {"stopped": tasks, "waiting": 3}
    audit = await database.fetchrow(
        "SELECT *, evidence::text AS detail FROM taskgate.ledger WHERE kind = 'operation.cancel'"
    )
    assert (audit["who"], audit["scope"]) == ("ann", f"operation:{operation['operation_id']}")
    assert audit["why"] == "wrong input"
    assert json.loads(audit["detail"])["selection"] == {"labels": {"run": "1"}}
    operation = await begin(client, "retry", {"state": ["stopped"]})
    assert counts(await finish(client, gateway, operation)) == ("completed", tasks, tasks, 0, 0)
    assert await states(database) == {"waiting": tasks + 3}
    assert await database.fetchval("SELECT count(*) FROM task_logs WHERE retry_count = 1") == tasks


async def test_redrive_takes_what_failed(served: Any, database: Database) -> None:
    client, gateway = served
    failed, stopped, _ = await submit(client, 3)
    await client.post(f"/api/v1/tasks/{stopped}/stop")
    await database.execute("UPDATE taskgate.dispatch SET state = 'failed', failures = 3 WHERE task_id = $1", failed)
    await database.execute("UPDATE task_logs SET status = 'FAILED', completed_at = now() WHERE id = $1", failed)
    operation = await begin(client, "redrive", {"type": ["probe"]})
    assert counts(await finish(client, gateway, operation)) == ("completed", 1, 1, 0, 0)
    assert await states(database) == {"waiting": 2, "stopped": 1}


async def test_a_dry_run_changes_nothing(served: Any, database: Database) -> None:
    client, gateway = served
    ids = await submit(client, 3)
    operation = await begin(client, "cancel", {"ids": ids[:2]}, dry_run=True)
    assert counts(operation) == ("completed", 2, 0, 0, 0)
    assert set(operation["sample"]) == set(ids[:2])
    assert not await gateway.operation_runner.step()
    assert await states(database) == {"waiting": 3}


async def test_nothing_to_do(served: Any) -> None:
    client, gateway = served
    assert counts(await begin(client, "cancel", {"type": ["unheard_of"]})) == ("completed", 0, 0, 0, 0)
    assert not await gateway.operation_runner.step()


async def test_abort(served: Any, database: Database) -> None:
    client, gateway = served
    await submit(client, CHUNK * 2)
    operation = await begin(client, "cancel", {"type": ["probe"]})
    await gateway.operation_runner.step()
    aborted = await client.post(f"{URL}/{operation['operation_id']}/abort")
    assert counts(aborted.json()) == ("aborted", CHUNK * 2, CHUNK, 0, 0)
    assert not await gateway.operation_runner.step()
    assert await states(database) == {"stopped": CHUNK, "waiting": CHUNK}
    again = await client.post(f"{URL}/{operation['operation_id']}/abort")
    assert again.json() == aborted.json()
    assert await database.fetchval("SELECT count(*) FROM taskgate.ledger WHERE kind = 'operation.abort'") == 1


async def test_no_chunk_is_begun_while_somebody_is_about_to_abort(served: Any, database: Database) -> None:
    """Else the next chunk, which is begun at once, may have the row before the one who waits for it."""
    client, gateway = served
    await submit(client, CHUNK * 3)
    operation = await begin(client, "cancel", {"type": ["probe"]})
    began, goes_on = asyncio.Event(), asyncio.Event()
    stop = gateway.transitions.stop

    async def stop_held(task_id: str) -> None:
        began.set()
        await goes_on.wait()
        await stop(task_id)

    gateway.transitions.stop = stop_held
    first = asyncio.create_task(gateway.operation_runner.step())
    await began.wait()
    aborting = asyncio.create_task(client.post(f"{URL}/{operation['operation_id']}/abort"))
    waits = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    await eventually(lambda: database.fetchval(waits))
    goes_on.set()
    assert await first
    while await gateway.operation_runner.step():
        pass
    assert counts((await aborting).json()) == ("aborted", CHUNK * 3, CHUNK, 0, 0)


async def test_what_a_gateway_left_is_finished_by_another(served: Any, serve: Any, database: Database) -> None:
    """It dies between the first task of a chunk and the record of its progress."""
    client, gateway = served
    await submit(client, CHUNK + 5)
    operation = await begin(client, "cancel", {"type": ["probe"]})
    began = asyncio.Event()
    stop = gateway.transitions.stop

    async def stop_one(task_id: str) -> None:
        if began.is_set():
            await asyncio.Event().wait()
        began.set()
        await stop(task_id)

    gateway.transitions.stop = stop_one
    dying = asyncio.create_task(gateway.operation_runner.step())
    await began.wait()
    async with serve() as (_, other):
        assert not await other.operation_runner.step()  # one gateway at a time
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        over = await finish(client, other, operation)
    assert over["state"] == "completed"
    assert await states(database) == {"stopped": CHUNK + 5}
    assert await database.fetchval("SELECT count(*) FROM task_logs WHERE error_message = 'Task stopped by user'") == (
        CHUNK + 5
    )


async def test_tasks_that_come_later_do_not_belong_to_it(served: Any, database: Database) -> None:
    client, gateway = served
    await submit(client, 2)
    operation = await begin(client, "cancel", {"type": ["probe"]})
    await submit(client, 2)
    assert counts(await finish(client, gateway, operation)) == ("completed", 2, 2, 0, 0)
    assert await states(database) == {"stopped": 2, "waiting": 2}


async def test_one_that_cannot_be_carried_out_does_not_stand_before_others(served: Any, database: Database) -> None:
    client, gateway = served
    await submit(client, 1)
    broken, good = [await begin(client, "cancel", {"type": ["probe"]}) for _ in range(2)]
    await database.execute(
        """UPDATE taskgate.operation SET selection = '{"colour": "red"}' WHERE operation_id = $1""",
        broken["operation_id"],
    )
    assert counts(await finish(client, gateway, good)) == ("completed", 1, 1, 0, 0)
    assert counts(await finish(client, gateway, broken)) == ("aborted", 1, 0, 0, 0)


async def test_reprioritise(served: Any, database: Database) -> None:
    client, gateway = served
    waiting, queued, running = await submit(client, 3)
    await submit(client, 1, type="other")
    for task_id, state in ((queued, "queued"), (running, "running")):
        await database.execute(
            "UPDATE taskgate.dispatch SET state = $2, backend = 'redis', epoch = 1 WHERE task_id = $1", task_id, state
        )
    operation = await begin(client, "reprioritise", {"type": ["probe"]}, priority=1)
    over = await finish(client, gateway, operation)
    assert counts(over) == ("completed", 2, 1, 1, 0)
    assert over["errors"] == [{"task_id": queued, "reason": "it is queued on redis, where its place cannot be changed"}]
    rows = await database.fetch("SELECT task_id, priority FROM taskgate.dispatch WHERE priority = 1")
    assert [tuple(row) for row in rows] == [(waiting, 1)]


async def test_a_retry_that_is_refused_is_counted(served: Any, database: Database) -> None:
    client, gateway = served
    (stopped,) = await submit(client, 1, unique_key="k")
    await client.post(f"/api/v1/tasks/{stopped}/stop")
    (active,) = await submit(client, 1, unique_key="k")
    over = await finish(client, gateway, await begin(client, "retry", {"ids": [stopped, active]}))
    assert counts(over) == ("completed", 1, 0, 0, 1)
    assert (over["errors"][0]["task_id"], active in over["errors"][0]["reason"]) == (stopped, True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"filter": {}},
        {"action": "delete"},
        {"action": "reprioritise"},
        {"priority": 2},
        {"action": "reprioritise", "priority": 6},
        {"filter": {"state": ["odd"]}},
        {"filter": {"colour": "red"}},
        {"filter": {"labels": {"k": 1}}},
        {"filter": {"ids": ["i"] * 1001}},
        {"filter": None},
    ],
)
async def test_out_of_form(served: Any, database: Database, wrong: dict[str, Any]) -> None:
    client, _ = served
    answer = await client.post(URL, json={"action": "cancel", "filter": {"type": ["probe"]}, **wrong})
    assert answer.status_code == 422
    assert await database.fetchval("SELECT count(*) FROM taskgate.operation") == 0


async def test_what_is_not_the_callers(served: Any, database: Database, people: Any) -> None:
    client, gateway = served
    bob = {"Authorization": await people.add_key("bob")}
    await submit(client, 2)
    theirs = (await client.post(TASKS, json={"type": "probe", "delay_seconds": 60}, headers=bob)).json()["task_id"]
    answer = await client.post(URL, json={"action": "cancel", "filter": {"tenant_id": "t-bob"}})
    assert answer.status_code == 403
    operation = await begin(client, "cancel", {"type": ["probe"]})
    assert counts(await finish(client, gateway, operation)) == ("completed", 2, 2, 0, 0)
    assert await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = $1", theirs) == "waiting"
    path = f"{URL}/{operation['operation_id']}"
    assert (await client.get(path, headers=bob)).status_code == 404
    assert (await client.post(f"{path}/abort", headers=bob)).status_code == 404
    assert (await client.get(f"{URL}/unknown")).status_code == 404
    assert (await client.get(URL, headers=bob)).json() == {"operations": []}
    assert len((await client.get(URL, params={"state": "completed"})).json()["operations"]) == 1
    assert (await client.get(URL, params={"state": "running"})).json() == {"operations": []}
    admin = {"Authorization": await people.add_user("root", admin=True)}
    assert (await client.get(path, headers=admin)).status_code == 200
    everybodys = await client.post(URL, json={"action": "cancel", "filter": {"type": ["probe"]}}, headers=admin)
    assert everybodys.json()["total"] == 1
    assert (await client.get(f"{URL}/{everybodys.json()['operation_id']}")).status_code == 404


async def test_one_of_a_caller_without_tenants_is_shown_to_no_other(
    served: Any, people: Any, admin: dict[str, str]
) -> None:
    client, _ = served
    eve = {"Authorization": await people.add_user("eve")}
    asked = {"action": "cancel", "filter": {"type": ["probe"]}, "dry_run": True, "why": "mine alone"}
    begun = await client.post(URL, json=asked, headers=eve)
    assert begun.status_code == 200
    path = f"{URL}/{begun.json()['operation_id']}"
    fay = {"Authorization": await people.add_user("fay")}
    for others in ({}, fay):
        assert (await client.get(URL, headers=others)).json() == {"operations": []}
        assert (await client.get(path, headers=others)).status_code == 404
        assert (await client.post(f"{path}/abort", headers=others)).status_code == 404
    for headers in (eve, admin):
        assert (await client.get(URL, headers=headers)).json()["operations"] == [begun.json()]
        assert (await client.get(path, headers=headers)).json() == begun.json()
        assert (await client.post(f"{path}/abort", headers=headers)).status_code == 200


async def test_what_a_key_for_another_tenant_began_is_not_listed(served: Any, people: Any) -> None:
    client, _ = served
    await people.add_member("ann", "t-bob", "owner")
    operation = await begin(client, "cancel", {"type": ["probe"]}, dry_run=True)
    made = await client.post("/gateway/v1/keys", json={"name": "test", "scope": "operate", "tenant_id": "t-bob"})
    headers = {"Authorization": made.json()["key"]}
    assert (await client.get(f"{URL}/{operation['operation_id']}", headers=headers)).status_code == 404
    assert (await client.get(URL, headers=headers)).json() == {"operations": []}


async def test_an_operation_whose_statements_postgresql_gives_up_does_not_hold_up_others(
    served: Any, database: Database
) -> None:
    """Each is cancelled by `statement_timeout`, say; otherwise it would be tried again for ever."""
    client, gateway = served
    await submit(client, 1, labels={"run": "1"})
    await submit(client, 1, labels={"run": "2"})
    await database.execute(
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION USING ERRCODE = '57014'; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON taskgate.dispatch
            FOR EACH ROW WHEN (OLD.labels ->> 'run' = '1') EXECUTE FUNCTION refuse()
        """
    )
    refused = await begin(client, "cancel", {"labels": {"run": "1"}}, why="wrong input")
    other = await begin(client, "cancel", {"labels": {"run": "2"}}, why="wrong input")
    assert counts(await finish(client, gateway, other)) == ("completed", 1, 1, 0, 0)
    assert (await finish(client, gateway, refused))["state"] == "aborted"


async def test_an_operation_whose_statements_take_too_long_does_not_hold_up_others(
    served: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have waited for a lock, so it is tried again, behind the others; in the end it is given up."""
    client, gateway = served
    monkeypatch.setattr(module, "MOST_TOO_LONG", 2)
    monkeypatch.setitem(gateway.database._session, "command_timeout", 0.5)
    await gateway.database.close()  # the next pool has the limit
    await submit(client, 1, labels={"run": "1"})
    await submit(client, 1, labels={"run": "2"})
    await database.execute(
        """
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
        CREATE TRIGGER wait BEFORE UPDATE ON taskgate.dispatch
            FOR EACH ROW WHEN (OLD.labels ->> 'run' = '1') EXECUTE FUNCTION wait()
        """
    )
    slow = await begin(client, "cancel", {"labels": {"run": "1"}}, why="wrong input")
    other = await begin(client, "cancel", {"labels": {"run": "2"}}, why="wrong input")
    for state in ("running", "running"):
        assert await gateway.operation_runner.step()
        assert (await client.get(f"{URL}/{slow['operation_id']}")).json()["state"] == state
    assert counts((await client.get(f"{URL}/{other['operation_id']}")).json()) == ("completed", 1, 1, 0, 0)
    assert (await finish(client, gateway, slow))["state"] == "aborted"
