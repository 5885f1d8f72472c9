"""Tasks that `taskgate release` gave back, whose payloads a worker meets when the gateway has come again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.tasks.lifecycle.release import release
from workers.outcome import Assignment, Completed, Failed, Refused

GONE = "DELETE FROM taskgate.dispatch WHERE task_id = $1"


def met(task: str, epoch: int | None = 1, **payload: Any) -> Assignment:
    return Assignment(task, "redis", epoch, {"content": "x", **payload}, "probe", "g")


async def test_it_runs_once(database, runner, handler, new_task, log_row):
    """It was dropped: nobody would have run it any more."""
    task = await new_task(epoch=3)
    assert (await release(database, None, by="ada")).rows == 1
    assert await runner.run(met(task, 3)) == Completed({"n": 1})
    assert (await log_row(task))["status"] == "COMPLETED"
    assert await runner.run(met(task, 3)) == Completed(None)
    assert isinstance(await runner.run(met(task, 2)), Refused)
    assert handler.ran == 1


async def test_a_start_from_before_its_last_run_does_not_run(database, transitions, runner, handler, new_task):
    """Its next starts would have the epochs of those that the engine knows the ends of."""
    task = await new_task(epoch=3)
    await transitions.claim(task, "redis", 3, runner._worker_id(), with_payload=False)
    assert await transitions.hand_back(task, 1)
    await release(database, None, by="ada")
    assert await runner.run(met(task, 2)) == Refused("the gateway knows no such task")
    assert await runner.run(met(task, 3)) == Completed({"n": 1})
    assert handler.ran == 1


async def test_a_copy_that_legacy_recovery_made_is_a_start_after_all_others(database, runner, handler, new_task):
    task = await new_task(epoch=3)
    await database.execute("UPDATE task_logs SET created_at = now() - interval '1 hour'")
    await release(database, None, by="ada")
    handler.raises = ValueError("not yet")
    assert isinstance(await runner.run(met(task, None)), Failed)
    assert await database.fetchval("SELECT epoch FROM taskgate.dispatch") > 1000
    assert isinstance(await runner.run(met(task, 3)), Refused)


@pytest.mark.parametrize("epoch", [1, None], ids=["its own payload", "a copy that legacy recovery made"])
async def test_a_run_of_before_is_not_taken_for_the_next_one(database, transitions, runner, handler, new_task, epoch):
    task = await new_task()
    claim = await transitions.claim(task, "redis", 1, runner._worker_id(), with_payload=False)
    await database.execute("UPDATE taskgate.dispatch SET state = 'queued', worker_id = NULL")
    await database.execute("UPDATE task_logs SET started_at = NULL, worker_id = NULL")
    await database.execute("UPDATE taskgate.attempt SET outcome = 'lost', ended_at = now()")
    await release(database, None, by="ada")
    handler.waits = asyncio.Event()
    run = asyncio.create_task(runner.run(met(task, epoch)))
    async with asyncio.timeout(20):
        await handler.began.wait()
    assert not await transitions.complete(task, claim.attempt)
    handler.waits.set()
    assert await run == Completed({"n": 1})
    attempts = await database.fetch("SELECT attempt, outcome FROM taskgate.attempt ORDER BY attempt")
    assert [tuple(row) for row in attempts] == [(1, "lost"), (2, "completed")]


@pytest.mark.parametrize("stopped", [False, True])
async def test_its_runs_are_counted_on_when_it_is_retried(database, transitions, runner, new_task, stopped):
    task = await new_task()
    await transitions.claim(task, "redis", 1, runner._worker_id(), with_payload=False)
    assert await transitions.hand_back(task, 1)
    await release(database, None, by="ada")
    if stopped:
        await transitions.stop(task)
    await database.execute("UPDATE task_logs SET status = 'FAILED'")
    await transitions.retry(task)
    assert await database.fetchval("SELECT attempt FROM taskgate.dispatch") == 1


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "STOPPED", "PROCESSING", None])
async def test_a_stray_copy_of_what_is_over_does_not_run(database, runner, handler, new_task, status):
    """Retention deletes what the gateway knew of a task, and later its row."""
    task = await new_task()
    await database.execute(GONE, task)
    await database.execute("UPDATE task_logs SET status = COALESCE($2, status) WHERE id = $1", task, status)
    if status is None:
        await database.execute("DELETE FROM task_logs WHERE id = $1", task)
    assert await runner.run(met(task)) == Refused("the gateway knows no such task")
    assert handler.ran == 0


async def test_what_a_person_has_to_decide_about_does_not_run(database, runner, handler, new_task):
    task = await new_task()
    await release(database, None, by="ada")
    await database.execute(
        "INSERT INTO taskgate.recovered_task (task_id, recovery_id, is_known) VALUES ($1, 1, false)", task
    )
    outcome = await runner.run(met(task))
    assert isinstance(outcome, Refused)
    assert outcome.set_aside
    assert handler.ran == 0


async def test_what_a_legacy_worker_has_begun_does_not_run(database, runner, handler, new_task):
    task = await new_task()
    await release(database, None, by="ada")
    await database.execute("UPDATE task_logs SET status = 'PROCESSING', started_at = now(), worker_id = 'old-1'")
    assert isinstance(await runner.run(met(task)), Refused)
    assert handler.ran == 0


@pytest.mark.parametrize("is_running", [False, True], ids=["given back", "a legacy worker runs it"])
@pytest.mark.parametrize(("tenant", "mark"), [(None, ""), ("other", "\t")])
async def test_a_row_without_its_dispatch_row_is_found_like_a_legacy_one(
    database, new_task, log_row, is_running, tenant, mark
):
    """Unless another tenant than before would find it: the payload says nothing of `other`."""
    task = await new_task(tenant_id=tenant)
    await database.execute("UPDATE task_logs SET payload = (E'\\t' || payload::text)::json")
    if is_running:
        await database.execute("UPDATE task_logs SET started_at = now(), worker_id = 'old-1'")
    await release(database, None, by="ada")
    row = await log_row(task)
    assert row["payload"][:1] == (mark or "{")
    assert row["status"] == ("PROCESSING" if is_running else "PENDING")
