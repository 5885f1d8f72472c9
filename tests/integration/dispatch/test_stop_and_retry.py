"""Stop really stops, retry really retries (contract T1, T2)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gateway.errors import TaskNotFound, TaskNotRetryable, TaskNotStoppable


async def test_a_stopped_task_cannot_be_claimed(database, transitions, new_task, new_worker):
    task = await new_task()
    await transitions.stop(task)
    assert await transitions.claim(task, "redis", 1, await new_worker(), with_payload=False) is None
    row = await database.fetchrow(
        "SELECT state, cancel_epoch, cancel_backend FROM taskgate.dispatch WHERE task_id = $1", task
    )
    assert tuple(row) == ("stopped", 1, "redis")


async def test_what_is_over_cannot_be_stopped(database, transitions, new_task):
    task = await new_task(state="completed")
    await database.execute("UPDATE task_logs SET status = 'COMPLETED' WHERE id = $1", task)
    with pytest.raises(TaskNotStoppable):
        await transitions.stop(task)
    with pytest.raises(TaskNotRetryable):
        await transitions.retry(task)


@pytest.mark.parametrize("verb", ["stop", "retry"])
async def test_an_unknown_task_is_not_found(transitions, verb):
    with pytest.raises(TaskNotFound):
        await getattr(transitions, verb)("nope")


async def test_two_retries_at_once_are_one(database, transitions, new_task, log_row):
    task = await new_task(state="failed", failures=3)
    await database.execute(
        "UPDATE task_logs SET status = 'FAILED', error_message = 'e', progress = 70, started_at = now(),"
        " completed_at = now(), worker_id = 'w' WHERE id = $1",
        task,
    )
    answers = await asyncio.gather(transitions.retry(task), transitions.retry(task), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["NoneType", "TaskNotRetryable"]
    row = await log_row(task)
    assert row["retry_count"] == 1
    assert row["progress"] == 0
    assert [row[c] for c in ("error_message", "started_at", "completed_at", "stopped_at")] == [None] * 4
    state = await database.fetchrow("SELECT state, failures FROM taskgate.dispatch WHERE task_id = $1", task)
    assert tuple(state) == ("waiting", 0)


async def test_a_row_from_before_the_gateway_can_be_stopped_and_retried(database, transitions, log_row):
    await database.execute(
        "INSERT INTO task_logs (id, group_id, task_type, status, payload) VALUES ('old', 'g', 'add_episode', 'PENDING',"
        """ '{"tenant_id": "t1", "project_id": "p1"}')"""
    )
    await transitions.stop("old")
    assert (await log_row("old"))["status"] == "FAILED"
    await transitions.retry("old")
    row = await database.fetchrow(
        "SELECT state, tenant_id, cancel_backend FROM taskgate.dispatch WHERE task_id = 'old'"
    )
    assert tuple(row) == ("waiting", "t1", "redis")


async def test_a_retry_starts_now_whatever_time_the_task_had(database, transitions, new_task):
    task = await new_task(state="waiting", not_before=datetime.now(UTC) + timedelta(days=1))
    await transitions.stop(task)
    await transitions.retry(task)
    row = await database.fetchrow(
        "SELECT state, not_before <= now() AS may, due_at <= now() AS is_due FROM taskgate.dispatch WHERE task_id = $1",
        task,
    )
    assert tuple(row) == ("waiting", True, True)
