"""What the gateway knows of a task goes when it is old and nobody needs it; its row in `task_logs` stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.access.placement import Caller
from gateway.errors import TaskNotRetryable
from gateway.retention.pace import FIRST, GOAL, LEAST, REST
from gateway.retention.periods import Period
from gateway.storage.database import Database
from gateway.tasks.lifecycle.transitions import Transitions
from gateway.tasks.queries.task_log import TaskLog

ACME = Caller("u", "key", False, frozenset({"acme"}))
A_DAG = (
    "INSERT INTO taskgate.dag_version (tenant_id, name, version, definition, plan, digest)"
    " VALUES ('', 'd', 1, '{}', '{}', '')"
)
OTHER = Caller("v", "key", False, frozenset({"other"}))


async def rows(database: Database, table: str) -> int:
    return await database.fetchval(f"SELECT count(*) FROM {table}")


async def test_an_old_task_is_forgotten(database: Database, old_task: Any, retention: Any, remembered: Any) -> None:
    await old_task(31)
    young = await old_task(29)
    await retention().tick()
    assert await remembered() == {young}
    assert await rows(database, "taskgate.attempt") == 1
    assert await rows(database, "task_logs") == 2


async def test_its_tenant_still_finds_it(database: Database, old_task: Any, retention: Any) -> None:
    task = await old_task(payload={"content": "Grüße"})
    await retention().tick()
    log = TaskLog(database)
    assert [row.id for row in await log.list(ACME, limit=10)] == [task]
    assert (await log.get(task, ACME)).status == "COMPLETED"
    assert await log.list(OTHER, limit=10) == []
    assert '"content"' in await database.fetchval("SELECT payload::text FROM task_logs")


async def test_each_tenant_has_its_own_time(old_task: Any, retention: Any, remembered: Any) -> None:
    await old_task(40)
    longer = await old_task(40, tenant_id="other")
    await old_task(8, tenant_id="brief")
    await retention(tasks=Period(30, {"other": 60, "brief": 7})).tick()
    assert await remembered() == {longer}


async def test_a_task_whose_row_would_show_it_to_another_tenant_stays(
    old_task: Any, retention: Any, remembered: Any
) -> None:
    task = await old_task(payload={"tenant_id": "other"})
    await retention().tick()
    assert await remembered() == {task}


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING"])
async def test_a_task_whose_row_somebody_set_back_stays(
    database: Database, old_task: Any, retention: Any, remembered: Any, status: str
) -> None:
    """A legacy worker's recovery does so; without the dispatch row a copy of the payload would run again."""
    task = await old_task()
    await database.execute("UPDATE task_logs SET status = $1", status)
    await retention().tick()
    assert await remembered() == {task}


async def dead_letter(database: Database, task: str) -> None:
    await database.execute(
        "INSERT INTO taskgate.dead_letter (id, kind, task_type, reason) VALUES ($1, 'task', 'probe', 'expired')", task
    )
    await database.execute("DELETE FROM taskgate.uncounted_death")


async def untold(database: Database, task: str) -> None:
    await database.execute(
        "INSERT INTO taskgate.engine_duty (kind, backend, subject) VALUES ('cancel', 'redis', $1)", task
    )


async def callback(database: Database, task: str) -> None:
    await database.execute(
        "INSERT INTO taskgate.delivery (id, task_id, event, url, receiver, body)"
        " VALUES ('m', $1, 'completed', 'u', 'u', '')",
        task,
    )


async def uncounted(database: Database, task: str) -> None:
    await database.execute("UPDATE taskgate.attempt SET is_counted = false WHERE task_id = $1", task)


async def uncancelled(database: Database, task: str) -> None:
    await database.execute("UPDATE taskgate.dispatch SET cancel_epoch = 1 WHERE task_id = $1", task)


async def retried(database: Database, task: str) -> None:
    await Transitions(database, Quiet()).retry(task)


class Quiet:
    def changed(self, task_id: str) -> None:
        """Nobody listens."""


@pytest.mark.parametrize("needed", [dead_letter, untold, callback, uncounted, uncancelled, retried])
async def test_what_is_needed_stays(
    database: Database, old_task: Any, retention: Any, remembered: Any, needed: Callable[[Database, str], Any]
) -> None:
    task = await old_task(state="failed")
    await old_task()
    await needed(database, task)
    await retention().tick()
    assert await remembered() == {task}


async def test_a_node_stays_until_its_run_has_gone(
    database: Database, old_task: Any, retention: Any, remembered: Any
) -> None:
    """Whether the run still runs, or ended only lately: it may be started again, and keeps what was completed."""
    run = await old_task(29, dag_run_id="run", task_id="run")
    node = await old_task(40, dag_run_id="run")
    await database.execute(A_DAG)
    await database.execute(
        "INSERT INTO taskgate.dag_run (run_id, owner, name, version, params) VALUES ('run', '', 'd', 1, '{}')"
    )
    await database.execute(
        "INSERT INTO taskgate.dag_node (run_id, path, node, task_id) VALUES ('run', 'a', 'a', $1)", node
    )
    keeper = retention()
    await keeper.tick()
    assert await remembered() == {run, node}
    await database.execute(
        "UPDATE taskgate.dispatch SET finished_at = now() - interval '31 days' WHERE task_id = 'run'"
    )
    await keeper.tick()
    await keeper.tick()
    assert await remembered() == set()
    assert await rows(database, "taskgate.dag_node") == await rows(database, "taskgate.dag_run") == 0


async def test_a_run_inside_another_stays_with_it(
    database: Database, old_task: Any, retention: Any, remembered: Any
) -> None:
    outer = await old_task(29, task_id="outer")
    inner = await old_task(40, task_id="inner", dag_run_id="inner")
    await database.execute(A_DAG)
    await database.execute(
        "INSERT INTO taskgate.dag_run (run_id, owner, name, version, params, parent_run)"
        " VALUES ('outer', '', 'd', 1, '{}', NULL), ('inner', '', 'd', 1, '{}', 'outer')"
    )
    await retention().tick()
    assert await remembered() == {outer, inner}


async def test_a_forgotten_task_can_be_retried(database: Database, old_task: Any, retention: Any) -> None:
    """Under an epoch that no engine can know from before, so that its start is not taken for a repeated one."""
    task = await old_task(state="failed", epoch=7)
    await retention().tick()
    await Transitions(database, Quiet()).retry(task)
    row = await database.fetchrow("SELECT state, tenant_id, epoch FROM taskgate.dispatch")
    assert (row["state"], row["tenant_id"]) == ("waiting", "acme")
    assert row["epoch"] > 1_000_000


@pytest.mark.parametrize("task_type", ["taskgate.dag", "taskgate.approval"])
async def test_a_forgotten_run_of_a_dag_cannot(
    database: Database, old_task: Any, retention: Any, task_type: str
) -> None:
    """Nor can a node that means nothing without its run."""
    task = await old_task(state="failed")
    await database.execute("UPDATE task_logs SET task_type = $1", task_type)
    await retention().tick()
    with pytest.raises(TaskNotRetryable):
        await Transitions(database, Quiet()).retry(task)


async def test_a_retry_that_is_under_way_wins(
    database: Database, old_task: Any, retention: Any, remembered: Any
) -> None:
    """Nor does the deletion wait for it: other tasks go meanwhile."""
    task = await old_task(state="failed")
    await old_task()
    async with database.transaction() as db:
        await db.execute("UPDATE taskgate.dispatch SET state = 'waiting', finished_at = NULL WHERE task_id = $1", task)
        async with asyncio.timeout(10):
            await retention().tick()
    assert await remembered() == {task}


async def test_many_tasks_go_in_batches(database: Database, old_task: Any, retention: Any, remembered: Any) -> None:
    """What has to stay among them is passed over."""
    kept = {await old_task(tenant_id="other") for _ in range(2)}
    await database.execute(
        "INSERT INTO taskgate.dispatch (task_id, group_id, task_type, state, finished_at, tenant_id)"
        " SELECT 'many-' || n, 'p', 'probe', 'completed', now() - interval '35 days', 'acme'"
        " FROM generate_series(1, 1300) n"
    )
    await retention(tasks=Period(30, {"other": 60})).tick()
    assert await remembered() == kept


async def test_idempotency_keys_and_operations(database: Database, retention: Any) -> None:
    await database.execute(
        "INSERT INTO taskgate.idempotency (user_id, key, fingerprint, status, answer, created_at)"
        " SELECT 'u', n::text, '', 202, '', now() - make_interval(hours => n) FROM generate_series(20, 30) n"
    )
    await database.execute(
        "INSERT INTO taskgate.operation (operation_id, action, selection, user_id, total, finished_at)"
        " VALUES ('old', 'cancel', '{}', 'u', 0, now() - interval '31 days'),"
        " ('young', 'cancel', '{}', 'u', 0, now() - interval '29 days'), ('running', 'cancel', '{}', 'u', 0, NULL)"
    )
    await retention().tick()
    assert await rows(database, "taskgate.idempotency") == 4
    names = await database.fetch("SELECT operation_id FROM taskgate.operation ORDER BY 1")
    assert [row["operation_id"] for row in names] == ["running", "young"]


async def test_history_of_schedules(database: Database, acme: str, retention: Any) -> None:
    """Not what is pending, nor what a firing still has to wait for."""
    for schedule, tenant in (("s", acme), ("t", "other")):
        await database.execute(
            "INSERT INTO taskgate.schedule (schedule_id, tenant_id, user_id, name, definition, created_at, updated_at)"
            " VALUES ($1, $2, 'u', 'n', '{}', now(), now())", schedule, tenant,
        )  # fmt: skip
        await database.execute(
            "INSERT INTO taskgate.firing (schedule_id, nominal_at, kind, overlap, outcome, is_open, fire_at)"
            " SELECT $1, at, 'clock', 'skip', outcome, open, at FROM (VALUES"
            " (now() - interval '95 days', 'fired', false), (now() - interval '94 days', 'fired', true),"
            " (now() - interval '93 days', 'pending', false), (now() - interval '80 days', 'skipped', false))"
            " AS f (at, outcome, open)", schedule,
        )  # fmt: skip
    await retention(firings=Period(90, {"other": 365})).tick()
    left = await database.fetch("SELECT schedule_id, count(*) AS n FROM taskgate.firing GROUP BY 1 ORDER BY 1")
    assert [(row["schedule_id"], row["n"]) for row in left] == [("s", 3), ("t", 4)]


@pytest.fixture
async def hundred(database: Database, old_task: Any) -> None:
    """So many old tasks."""
    await asyncio.gather(*(old_task() for _ in range(100)))


@pytest.mark.usefixtures("hundred")
async def test_it_yields_to_others_where_commits_are_slow(retention: Any, remembered: Any, server_taking: Any) -> None:
    slow = server_taking(2 * GOAL)
    await retention(more=slow.more).tick()
    assert await remembered() == set()
    first, *others, _ = slow.deleted["dispatch"]
    assert first < FIRST  # idempotency keys and operations went first, and were slow already
    assert others == [LEAST] * len(others)
    assert slow.rested == pytest.approx(slow.now * REST)


@pytest.mark.usefixtures("hundred")
async def test_it_takes_more_at_a_time_where_they_are_quick(
    retention: Any, remembered: Any, server_taking: Any
) -> None:
    quick = server_taking(GOAL / 2)
    await retention(more=quick.more).tick()
    assert await remembered() == set()
    assert quick.deleted["dispatch"][0] > FIRST
    assert sum(quick.deleted["dispatch"]) == 100
