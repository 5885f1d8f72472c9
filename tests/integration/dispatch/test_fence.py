"""Claim before run: one claim per start, of the backend and epoch that hold the task, for a living worker."""

from __future__ import annotations

import asyncio

import pytest


async def test_one_of_many_claims_is_granted(transitions, new_task, new_worker):
    task = await new_task()
    workers = [await new_worker(f"w{i}") for i in range(5)]
    claims = await asyncio.gather(*(transitions.claim(task, "redis", 1, w, with_payload=True) for w in workers))
    granted = [claim for claim in claims if claim is not None]
    assert len(granted) == 1
    assert granted[0].payload == {"content": "x"}


@pytest.mark.parametrize(("backend", "epoch"), [("temporal", 1), ("redis", 2), ("redis", 0)])
async def test_a_claim_for_another_start_is_refused(transitions, new_task, new_worker, backend, epoch):
    task = await new_task()
    assert await transitions.claim(task, backend, epoch, await new_worker(), with_payload=False) is None


async def test_a_copy_without_an_epoch_may_claim_what_its_backend_holds(transitions, new_task, new_worker):
    worker = await new_worker()
    assert await transitions.claim(await new_task(), "redis", None, worker, with_payload=False) is not None
    assert (
        await transitions.claim(await new_task(backend="temporal"), "redis", None, worker, with_payload=False) is None
    )


@pytest.mark.parametrize(
    ("status", "started", "granted"),
    [
        ("PROCESSING", False, True),
        ("PENDING", False, True),
        ("PENDING", True, True),  # put back by a legacy recovery loop
        ("PROCESSING", True, False),
        ("COMPLETED", True, False),
        ("FAILED", True, False),
    ],
)
async def test_what_a_legacy_worker_has_or_ended_is_not_run_from_a_copy(
    database, transitions, new_task, new_worker, status, started, granted
):
    """It claims nothing, and says so in task_logs alone until the reconciler has merged that."""
    task = await new_task()
    await database.execute(
        "UPDATE task_logs SET status = $2, started_at = CASE WHEN $3 THEN now() END,"
        " worker_id = CASE WHEN $3 THEN 'legacy-1' END WHERE id = $1",
        task,
        status,
        started,
    )
    worker = await new_worker()
    claim = await transitions.claim(task, "redis", 1, worker, with_payload=False)
    assert (claim is not None) == granted
    if not granted:
        assert (await transitions.claim_status(task, worker)).legacy_has_it


@pytest.mark.parametrize("state", ["waiting", "running", "completed", "failed", "stopped"])
async def test_only_a_task_that_waits_on_its_engine_can_be_claimed(transitions, new_task, new_worker, state):
    task = await new_task(state=state)
    assert await transitions.claim(task, "redis", 1, await new_worker(), with_payload=False) is None


async def test_who_asks_again_gets_the_same_claim(database, transitions, new_task, new_worker):
    task, worker = await new_task(), await new_worker()
    first = await transitions.claim(task, "redis", 1, worker, with_payload=True, token=7)
    again = await transitions.claim(task, "redis", 1, worker, with_payload=True, token=7, again=True)
    assert again == first is not None
    assert await database.fetchval("SELECT count(*) FROM taskgate.attempt") == 1


async def test_another_asking_is_not_granted_what_runs(transitions, new_task, new_worker):
    task, worker, other = await new_task(), await new_worker(), await new_worker("w2")
    await transitions.claim(task, "redis", 1, worker, with_payload=False, token=7)
    assert await transitions.claim(task, "redis", 1, worker, with_payload=False, token=8, again=True) is None
    assert await transitions.claim(task, "redis", 1, other, with_payload=False, token=7, again=True) is None


async def test_a_claim_that_has_ended_is_not_granted_again(transitions, new_task, new_worker):
    task, worker = await new_task(), await new_worker()
    claim = await transitions.claim(task, "redis", 1, worker, with_payload=False, token=7)
    await transitions.complete(task, claim.attempt)
    assert await transitions.claim(task, "redis", 1, worker, with_payload=False, token=7, again=True) is None


async def test_a_lost_worker_cannot_claim(database, transitions, new_task, new_worker):
    task, worker = await new_task(), await new_worker()
    await database.execute("UPDATE taskgate.process SET lost_at = now()")
    assert await transitions.claim(task, "redis", 1, worker, with_payload=False) is None
    status = await transitions.claim_status(task, worker)
    assert status is not None
    assert not status.worker_alive


async def test_who_is_refused_hears_how_long_the_task_is_claimed(database, transitions, new_task, new_worker):
    task, worker = await new_task(), await new_worker()
    assert (await transitions.claim_status(task, worker)).claimed_seconds is None
    assert await transitions.claim(task, "redis", 1, worker, with_payload=False)
    await database.execute("UPDATE taskgate.dispatch SET claimed_at = claimed_at - interval '50 seconds'")
    assert 50 <= (await transitions.claim_status(task, worker)).claimed_seconds < 80


async def test_a_claim_shows_in_the_legacy_row(transitions, new_task, new_worker, log_row, changes):
    task = await new_task()
    await transitions.claim(task, "redis", 1, await new_worker("host-1234abcd"), with_payload=False)
    row = await log_row(task)
    assert row["status"] == "PROCESSING"
    assert row["started_at"] is not None
    assert row["worker_id"] == "host-1234abcd"
    assert changes.ids == [task]


async def test_completion_ends_row_and_history(database, transitions, new_task, new_worker, log_row):
    task = await new_task()
    claim = await transitions.claim(task, "redis", 1, await new_worker(), with_payload=False)
    assert claim is not None
    assert await transitions.progress(task, claim.attempt, progress=40, result={"a": 1}, message="half")
    assert await transitions.complete(task, claim.attempt)
    row = await log_row(task)
    assert (row["status"], row["progress"], row["message"]) == ("COMPLETED", 40, "half")
    assert row["completed_at"] >= row["started_at"]
    history = await database.fetch("SELECT outcome FROM taskgate.attempt WHERE task_id = $1", task)
    assert [r["outcome"] for r in history] == ["completed"]


async def test_a_late_word_of_a_fenced_run_changes_nothing(transitions, new_task, new_worker, log_row):
    task = await new_task()
    claim = await transitions.claim(task, "redis", 1, await new_worker(), with_payload=False)
    assert claim is not None
    await transitions.stop(task)
    assert not await transitions.progress(task, claim.attempt, progress=99)
    assert not await transitions.complete(task, claim.attempt)
    assert await transitions.fail(task, claim.attempt, "late", final=True, engine_retries=False) is None
    row = await log_row(task)
    assert (row["status"], row["error_message"], row["progress"]) == ("FAILED", "Task stopped by user", 0)
    assert row["stopped_at"] is not None


async def test_failures_wait_longer_each_time_and_end_as_a_dead_letter(
    database, transitions, new_task, new_worker, log_row
):
    task, worker = await new_task(), await new_worker()
    pauses = []
    for _ in range(3):
        claim = await transitions.claim(task, "redis", 1, worker, with_payload=False)
        assert claim is not None
        verdict = await transitions.fail(task, claim.attempt, "boom", final=False, engine_retries=True)
        assert verdict is not None
        pauses.append(verdict.retry_in and round(verdict.retry_in.total_seconds(), 1))
    assert pauses == [1.0, 2.0, None]
    row = await log_row(task)
    assert (row["status"], row["error_message"], row["retry_count"]) == ("FAILED", "boom", 2)
    assert row["completed_at"] is not None


async def test_a_failure_between_attempts_is_shown_as_pending(transitions, new_task, new_worker, log_row):
    task = await new_task()
    claim = await transitions.claim(task, "redis", 1, await new_worker(), with_payload=False)
    assert claim is not None
    await transitions.fail(task, claim.attempt, "boom", final=False, engine_retries=False)
    row = await log_row(task)
    assert (row["status"], row["started_at"], row["worker_id"], row["completed_at"]) == ("PROCESSING", None, None, None)
