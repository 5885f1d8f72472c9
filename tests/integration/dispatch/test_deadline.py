"""A task that has not started by its deadline never does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from contracts.locks import until_it_waits
from gateway.tasks.lifecycle.transitions import SQL

PAST, AHEAD = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime.now(UTC) + timedelta(days=1)
MESSAGE = "Task expired: it had not started by its deadline, 2026-01-02T03:04:05Z"


async def test_a_late_claim_is_refused(transitions, new_task, new_worker, log_row, changes):
    task, worker = await new_task(expires_at=PAST), await new_worker()
    assert await transitions.claim(task, "redis", 1, worker, with_payload=False) is None
    status = await transitions.claim_status(task, worker)
    assert status is not None
    assert status.expired
    assert await transitions.expire(task_id=task) == 1
    row = await log_row(task)
    assert (row["status"], row["error_message"], row["started_at"]) == ("FAILED", MESSAGE, None)
    assert changes.ids == [task]


async def test_a_claim_in_time_is_granted(transitions, new_task, new_worker):
    task = await new_task(expires_at=AHEAD)
    assert await transitions.claim(task, "redis", 1, await new_worker(), with_payload=False) is not None


async def test_what_has_started_does_not_expire(database, transitions, new_task, new_worker):
    """Its repetitions may come after the deadline."""
    task, worker = await new_task(expires_at=AHEAD), await new_worker()
    claim = await transitions.claim(task, "redis", 1, worker, with_payload=False)
    await database.execute("UPDATE taskgate.dispatch SET expires_at = $1", PAST)
    await transitions.fail(task, claim.attempt, "boom", final=False, engine_retries=True)
    assert await transitions.expire() == 0
    assert await transitions.claim(task, "redis", 1, worker, with_payload=False) is not None


@pytest.mark.parametrize(
    ("state", "cancelled"), [("waiting", None), ("starting", 1), ("queued", 1), ("running", None), ("stopped", None)]
)
async def test_the_sweep(database, transitions, new_task, state, cancelled):
    """An engine that may hold the start is told to drop it."""
    late = await new_task(state=state, expires_at=PAST, attempt=1 if state == "running" else 0)
    await new_task(expires_at=AHEAD)
    await new_task()
    expires = state in ("waiting", "starting", "queued")
    assert await transitions.expire() == (1 if expires else 0)
    row = await database.fetchrow("SELECT state, cancel_epoch FROM taskgate.dispatch WHERE task_id = $1", late)
    assert tuple(row) == ("failed" if expires else state, cancelled)


#: What a legacy worker writes when it takes a task, and when it ended one.
TAKEN = "UPDATE task_logs SET started_at = now() - interval '2 s', worker_id = 'host-1234abcd'"
ENDED = f"{TAKEN}, status = 'COMPLETED', completed_at = now()"


@pytest.mark.parametrize("written", [TAKEN, ENDED])
async def test_what_a_legacy_worker_has_begun_does_not_expire(database, transitions, new_task, log_row, written):
    """Only its row says so, until the reconciler has seen that."""
    task = await new_task(expires_at=PAST)
    await database.execute(written)
    before = await log_row(task)
    assert await transitions.expire() == 0
    assert await transitions.expire(task_id=task) == 0
    assert await log_row(task) == before
    assert await database.fetchval("SELECT state FROM taskgate.dispatch") == "queued"


async def test_what_a_legacy_worker_begins_meanwhile_does_not_expire(database, new_task, log_row):
    task, session = await new_task(expires_at=PAST), await database.connect()
    try:
        async with database.transaction() as db:
            await db.execute(TAKEN)
            expiring = asyncio.create_task(session.fetch(SQL.expire, 1, None))
            await until_it_waits(database, session.get_server_pid(), expiring)
        assert await expiring == []
    finally:
        await session.close()
    assert (await log_row(task))["status"] == "PROCESSING"
    assert await database.fetchval("SELECT state FROM taskgate.dispatch") == "queued"


async def test_a_late_start_beside_those_of_legacy_workers_expires(database, transitions, new_task):
    """They do not take its place among so many."""
    for _ in range(2):
        await new_task(expires_at=PAST)
    await database.execute(TAKEN)
    late = await new_task(expires_at=PAST + timedelta(seconds=1))
    assert await transitions.expire(limit=1) == 1
    assert await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = $1", late) == "failed"


async def test_the_sweep_takes_so_many_at_a_time(transitions, new_task):
    for _ in range(3):
        await new_task(expires_at=PAST)
    assert [await transitions.expire(limit=2) for _ in range(3)] == [2, 1, 0]


async def test_a_retry_has_no_deadline(database, transitions, new_task, new_worker):
    task = await new_task(expires_at=PAST)
    await transitions.expire()
    await transitions.retry(task)
    assert await database.fetchval("SELECT expires_at FROM taskgate.dispatch") is None


@pytest.mark.parametrize(
    ("initial", "coefficient", "maximum", "expected"),
    [
        (100.0, 3.0, 250.0, [100, 250, None]),
        (3600.0, None, None, [3600, 3600, None]),  # the gateway's maximum does not cut it
        (400.0, None, None, [400, 600, None]),
        (None, 100.0, None, [1, 100, None]),
        (None, 1000.0, None, [1, 600, None]),
    ],
)
async def test_the_pauses_of_the_task_itself(
    database, transitions, new_task, new_worker, initial, coefficient, maximum, expected
):
    task = await new_task(retry_initial=initial, retry_coefficient=coefficient, retry_maximum=maximum, max_attempts=3)
    worker, pauses = await new_worker(), []
    for _ in range(3):
        claim = await transitions.claim(task, "redis", 1, worker, with_payload=False)
        verdict = await transitions.fail(task, claim.attempt, "boom", final=False, engine_retries=True)
        pauses.append(verdict.retry_in and round(verdict.retry_in.total_seconds()))
    assert pauses == expected
