"""Reads of `task_logs`: whose a task is, how it is shown, which a filter finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.access.placement import Caller
from gateway.errors import TaskNotFound
from gateway.storage.database import Database
from gateway.tasks.queries.task_log import TaskLog

Member = Callable[..., Caller]


async def test_a_row_is_shown_whole(tasks: Any, task_log: TaskLog, member: Member) -> None:
    started, completed = tasks.ago(seconds=9), tasks.ago(seconds=7.75)
    task_id = await tasks.add(
        tenant="acme",
        status="COMPLETED",
        started_at=started,
        completed_at=completed,
        worker_id="host-1",
        retry_count=2,
        progress=100,
        result='{"nodes": 3}',
        message="done",
        entity_id="e",
        entity_type="episode",
        error_message=None,
    )
    row = await task_log.get(task_id, member("acme"))
    assert (row.id, row.task_type, row.status, row.tenant_id) == (task_id, "add_episode", "COMPLETED", "acme")
    assert (row.started_at, row.completed_at, row.duration) == (started, completed, "1.2s")
    assert (row.worker_id, row.retry_count, row.progress) == ("host-1", 2, 100)
    assert (row.result, row.message, row.entity_id, row.entity_type) == ('{"nodes": 3}', "done", "e", "episode")


async def test_columns_without_a_value_have_their_defaults(tasks: Any, task_log: TaskLog, admin: Caller) -> None:
    columns = dict.fromkeys(("group_id", "task_type", "status", "created_at", "retry_count", "progress", "payload"))
    row = await task_log.get(await tasks.add(**columns), admin)
    assert (row.task_type, row.status, row.created_at, row.retry_count, row.progress) == ("", "PENDING", None, 0, 0)


@pytest.mark.parametrize("result", ["null", "[1]", '"text"', "5", "true"])
async def test_a_result_that_is_no_object_is_none(tasks: Any, task_log: TaskLog, admin: Caller, result: str) -> None:
    assert (await task_log.get(await tasks.add(result=result), admin)).result is None


async def test_a_reserved_row_is_pending_until_somebody_has_it(tasks: Any, task_log: TaskLog, admin: Caller) -> None:
    shown = {
        await tasks.add(status="PROCESSING"): "PENDING",
        await tasks.add(status="PENDING"): "PENDING",
        await tasks.add(status="PROCESSING", started_at=tasks.ago(seconds=1)): "PROCESSING",
        await tasks.add(status="PROCESSING", worker_id="w"): "PROCESSING",
        await tasks.add(status="STOPPED"): "STOPPED",
    }
    assert {i: (await task_log.get(i, admin)).status for i in shown} == shown
    assert {i: status for i, (status, _) in (await task_log.progress_of(shown)).items()} == shown
    for status in ("Pending", "PROCESSING", "stopped"):
        found = {row.id for row in await task_log.recent(admin, status=status)}
        assert found == {i for i, s in shown.items() if s == status.upper()}


async def test_the_dispatch_row_decides_on_the_tenant(tasks: Any, task_log: TaskLog, member: Member) -> None:
    """Whatever the payload says, in lists as well as by id."""
    theirs = await tasks.add(tenant="globex", payload={"tenant_id": "acme"})
    nobodys = await tasks.add(state="completed", payload={"tenant_id": "acme"})
    mine = await tasks.add(tenant="acme", payload={"tenant_id": "globex"})
    assert [row.id for row in await task_log.recent(member("acme"))] == [mine]
    assert [row.id for row in await task_log.recent(member("globex"))] == [theirs]
    assert (await task_log.get(mine, member("acme"))).id == mine
    for task_id in (theirs, nobodys):
        with pytest.raises(TaskNotFound):
            await task_log.get(task_id, member("acme"))


@pytest.mark.parametrize(
    ("payload", "group_id", "tenant"),
    [
        ({"tenant_id": "globex"}, "p-acme", "globex"),
        ({"tenant_id": "globex", "project_id": "p-acme"}, "g", "globex"),
        ({"tenant_id": None, "project_id": "p-acme"}, "p-globex", "acme"),
        ({"tenant_id": "", "project_id": "p-acme"}, "g", "acme"),
        ({"tenant_id": 5, "project_id": ["x"]}, "p-acme", "acme"),
        ({}, "p-acme", "acme"),
        (None, "p-acme", "acme"),
        ("null", "p-acme", "acme"),
        ("[1, 2]", "p-acme", "acme"),
        ('"tenant_id"', "p-acme", "acme"),
        ('  {"tenant_id": "acme", "content": "\\u0000 \\ud800 \\\\u0000"}', "g", "acme"),
        ('{"content": "{\\"tenant_id\\": \\"globex\\"}", "m": {"tenant_id": "globex"}}', "p-acme", "acme"),
        ({"tenant_id": "x" * 5000, "project_id": "p-acme"}, "p-acme", None),
        ({"content": "x"}, "neo4j", None),
        (None, None, None),
    ],
)
async def test_a_legacy_row_belongs_to_whom_it_names(
    tasks: Any, task_log: TaskLog, member: Member, admin: Caller, payload: Any, group_id: str, tenant: str | None
) -> None:
    await tasks.add_project("p-acme", "acme")
    await tasks.add_project("p-globex", "globex")
    task_id = await tasks.add(payload=payload, group_id=group_id)
    for name in ("acme", "globex"):
        caller = member(name)
        expected = [task_id] if name == tenant else []
        assert [row.id for row in await task_log.recent(caller)] == expected
        assert [row.id for row in await task_log.recent(caller, task_type="add_episode")] == expected
        assert [row.id for row in await task_log.recent(caller, status="completed")] == expected
        assert (await task_log.status_breakdown(caller))["Completed"] == len(expected)
        if not expected:
            with pytest.raises(TaskNotFound):
                await task_log.get(task_id, caller)
        else:
            assert (await task_log.get(task_id, caller)).tenant_id == tenant
    assert [row.id for row in await task_log.recent(admin)] == [task_id]


async def test_a_caller_without_tenants_sees_nothing(tasks: Any, task_log: TaskLog, member: Member) -> None:
    task_id = await tasks.add()
    assert await task_log.recent(member()) == []
    assert (await task_log.stats(member())).total == 0
    with pytest.raises(TaskNotFound):
        await task_log.get(task_id, member())


async def test_the_gateway_itself_sees_everything(tasks: Any, task_log: TaskLog) -> None:
    task_id = await tasks.add(tenant="acme")
    assert (await task_log.get(task_id, None)).tenant_id == "acme"


@pytest.mark.parametrize("task_id", ["unknown", "", "nul\x00", "\ud800", "x" * 100_000])
async def test_what_cannot_be_an_id_is_not_found(task_log: TaskLog, admin: Caller, task_id: str) -> None:
    with pytest.raises(TaskNotFound):
        await task_log.get(task_id, admin)


@pytest.mark.parametrize("who", ["admin", "member"])
async def test_search_takes_every_character_for_itself(
    tasks: Any, task_log: TaskLog, admin: Caller, member: Member, who: str
) -> None:
    caller = admin if who == "admin" else member("acme")
    percent = await tasks.add(tenant="acme", id="a%b_c\\d")
    other = await tasks.add(tenant="acme", id="aXbYcZd", worker_id="Host%-1")
    for word, found in {
        "%": {percent, other},
        "a%b": {percent},
        "_": {percent},
        "\\": {percent},
        "A%B_C\\D": {percent},
        "xby": {other},
        "host%": {other},
        "nothing": set(),
        "nul\x00": set(),
        "\ud800": set(),
    }.items():
        assert {row.id for row in await task_log.recent(caller, search=word)} == found, word


@pytest.mark.parametrize("who", ["admin", "member"])
async def test_filters_hold_together(tasks: Any, task_log: TaskLog, admin: Caller, member: Member, who: str) -> None:
    caller = admin if who == "admin" else member("acme")
    kind = {"task_type": "deduplicate_entities", "entity_id": "e", "entity_type": "deduplication", "status": "FAILED"}
    wanted = await tasks.add(tenant="acme", **kind)
    for column in kind:
        await tasks.add(tenant="acme", **{**kind, column: "COMPLETED" if column == "status" else "other"})
    assert len(await task_log.recent(caller)) == 5
    for column, value in kind.items():
        assert len(await task_log.recent(caller, **{column: value})) == 4
    found = await task_log.recent(caller, **{**kind, "status": "failed"})
    assert [row.id for row in found] == [wanted]
    assert len(await task_log.recent(caller, status="All Statuses", task_type="All Types", search="")) == 5
    for nothing in ({"status": "unknown"}, {"task_type": "unknown"}, {"entity_id": "x\x00"}, {"entity_type": "e"}):
        assert await task_log.recent(caller, **nothing) == []


async def test_a_task_type_of_any_length_is_stored_and_found(tasks: Any, task_log: TaskLog, member: Member) -> None:
    """The indexes must not make an INSERT fail that worked without them."""
    long = "".join(chr(33 + (7 * n) % 90) for n in range(5000))
    task_id = await tasks.add(tenant="acme", task_type=long, entity_type=long)
    await tasks.add(tenant="acme", task_type=long + "x")
    for caller in (member("acme"), Caller("a", "k", True, frozenset())):
        found = await task_log.recent(caller, task_type=long, entity_type=long)
        assert [row.id for row in found] == [task_id]


async def test_the_words_of_the_list(tasks: Any, task_log: TaskLog, admin: Caller) -> None:
    ids = {
        "pending": await tasks.add(status="PROCESSING"),
        "running": await tasks.add(status="PROCESSING", started_at=tasks.ago(seconds=3)),
        "completed": await tasks.add(status="COMPLETED"),
        "failed": await tasks.add(status="FAILED"),
        "cancelled": await tasks.add(status="STOPPED"),
    }
    for word, task_id in ids.items():
        assert [row.id for row in await task_log.list(admin, status=word)] == [task_id]
        assert [row.id for row in await task_log.list(admin, status=word.upper())] == [task_id]
    assert await task_log.list(admin, status="processing") == []
    assert {row.id for row in await task_log.list(admin)} == set(ids.values())
    assert len(await task_log.list(admin, limit=2)) == 2


async def test_a_status_that_dispatch_does_not_know_yet_is_found(tasks: Any, task_log: TaskLog, member: Member) -> None:
    """A legacy worker finished it; the reconciler has not been there."""
    for status in ("COMPLETED", "FAILED", "STOPPED"):
        task_id = await tasks.add(tenant="acme", state="queued", status=status)
        assert [row.id for row in await task_log.recent(member("acme"), status=status)] == [task_id]


@pytest.mark.parametrize("who", ["admin", "member"])
async def test_a_whole_id_finds_its_task(
    tasks: Any, task_log: TaskLog, admin: Caller, member: Member, who: str
) -> None:
    caller = admin if who == "admin" else member("acme")
    mine, worker = await tasks.add(tenant="acme"), "0f3b7a52-8f0c-4c6e-9d54-6f5f3c1e2a10"
    theirs = await tasks.add(tenant="globex")
    served = await tasks.add(tenant="acme", worker_id=f"{worker}-1")
    assert [row.id for row in await task_log.recent(caller, search=mine.upper())] == [mine]
    assert [row.id for row in await task_log.recent(caller, search=mine, status="failed")] == []
    assert [row.id for row in await task_log.recent(caller, search=worker)] == [served]
    assert [row.id for row in await task_log.recent(caller, search=theirs)] == ([theirs] if who == "admin" else [])


async def test_an_entity_type_that_is_common(tasks: Any, task_log: TaskLog, database: Database, member: Member) -> None:
    """Rare ones are looked for among all tasks, common ones among the tenant's."""
    for tenant in ("acme", "globex"):
        await database.execute(
            "WITH log AS (INSERT INTO task_logs (id, status, created_at, entity_type)"
            " SELECT $1 || n, 'FAILED', now() - make_interval(secs => n), 'episode' FROM generate_series(1, 800) n"
            " RETURNING id, created_at) INSERT INTO taskgate.dispatch (task_id, tenant_id, group_id, task_type, state,"
            " created_at) SELECT id, $1, 'g', 'add_episode', 'failed', created_at FROM log",
            tenant,
        )
    found = await task_log.recent(member("acme"), entity_type="episode", limit=1000)
    assert [row.id for row in found] == [f"acme{n}" for n in range(1, 801)]
