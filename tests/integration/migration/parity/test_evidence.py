"""What ended is counted once, in order, by whoever counts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from gateway.access.placement import Tier
from gateway.migration.parity.evidence import Counts, Evidence, Outcome, Slice
from gateway.migration.parity.histogram import bucket_of
from gateway.migration.parity.recorder import Recorder
from gateway.storage.database import Database
from gateway.tasks.lifecycle.transitions import Transitions

AllOutcomes = Callable[[], Awaitable[list[Outcome]]]
RunTask = Callable[..., Awaitable[str]]
RunAgain = Callable[[str, str, str], Awaitable[None]]


def total(slices: list[Slice]) -> Counts:
    return Counts.of([one.counts for one in slices])


def answers(outcome: Outcome) -> tuple[bool | None, bool | None, bool | None]:
    return outcome.failed, outcome.retried, outcome.dead


async def test_a_completed_task_answers_every_question_once(run_task: RunTask, all_outcomes: AllOutcomes) -> None:
    task_id = await run_task("completed")
    (outcome,) = await all_outcomes()
    assert (outcome.task_id, outcome.attempt, outcome.tenant_id, outcome.task_type, outcome.backend) == (
        task_id,
        1,
        "acme",
        "probe",
        "redis",
    )
    assert answers(outcome) == (False, False, False)
    assert outcome.run_seconds is not None
    assert outcome.tier is Tier.STANDARD
    assert not outcome.worker_lost


async def test_a_task_that_failed_twice_and_completed(run_task: RunTask, all_outcomes: AllOutcomes) -> None:
    await run_task("failed", "failed", "completed")
    assert [answers(one) for one in await all_outcomes()] == [
        (True, None, None),
        (None, None, None),
        (None, True, False),
    ]


async def test_a_task_that_failed_for_good(run_task: RunTask, all_outcomes: AllOutcomes) -> None:
    await run_task("failed", "failed", "failed")
    assert [answers(one) for one in await all_outcomes()] == [
        (True, None, None),
        (None, None, None),
        (None, None, None),
        (None, True, True),
    ]


async def test_a_task_that_is_not_worth_repeating(run_task: RunTask, all_outcomes: AllOutcomes) -> None:
    await run_task("final")
    outcomes = await all_outcomes()
    assert [answers(one) for one in outcomes] == [(True, None, None), (None, False, True)]
    assert [one.run_seconds for one in outcomes] == [None] * 2


async def test_a_run_that_was_handed_back_answers_nothing(run_task: RunTask, all_outcomes: AllOutcomes) -> None:
    await run_task("back", "completed")
    assert [answers(one) for one in await all_outcomes()] == [(None, None, None), (False, False, False)]


async def test_a_second_death_is_a_death_of_its_own(
    run_task: RunTask, transitions: Transitions, all_outcomes: AllOutcomes, database: Database
) -> None:
    task_id = await run_task("final")
    await all_outcomes()
    await transitions.retry(task_id)
    await database.execute("UPDATE taskgate.dispatch SET state = 'queued'")
    await transitions.claim(task_id, "redis", 1, "w1", with_payload=False)
    await transitions.fail(task_id, 2, "no", final=True, engine_retries=False)
    assert [answers(one) for one in await all_outcomes()][2:] == [(None, None, None), (None, True, True)]


@pytest.fixture
def run_again(transitions: Transitions, database: Database) -> RunAgain:
    """Redrive a dead task, or let one that waits go on; its next run, on this engine, ends like this."""

    async def run(task_id: str, backend: str, end: str) -> None:
        state = await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = $1", task_id)
        if state == "failed":
            await transitions.retry(task_id)
        await database.execute(
            "UPDATE taskgate.dispatch SET state = 'queued', backend = $2 WHERE task_id = $1", task_id, backend
        )
        claim = await transitions.claim(task_id, backend, 1, "w1", with_payload=False)
        assert claim is not None
        if end == "completed":
            assert await transitions.complete(task_id, claim.attempt)
        else:
            assert await transitions.fail(task_id, claim.attempt, "no", final=end == "final", engine_retries=False)

    return run


@pytest.mark.parametrize("died_on", ["redis", "temporal"])
async def test_a_redrive_is_no_repetition(
    run_task: RunTask, run_again: RunAgain, all_outcomes: AllOutcomes, database: Database, died_on: str
) -> None:
    """What failed before says nothing about the engine that runs it now, and the time in between is no duration."""
    task_id = await run_task("failed", "final", backend=died_on)
    await database.execute("UPDATE taskgate.dispatch SET created_at = now() - interval '7 days'")
    await run_again(task_id, "temporal", "completed")
    outcome = (await all_outcomes())[-1]
    assert (outcome.attempt, outcome.failed, outcome.run_seconds is not None) == (3, None, True)
    assert (outcome.retried, outcome.dead) == ((None, None) if died_on == "redis" else (False, False))
    assert outcome.total_seconds is None


async def test_what_failed_after_a_redrive_is_a_repetition(
    run_task: RunTask, run_again: RunAgain, all_outcomes: AllOutcomes
) -> None:
    task_id = await run_task("final", backend="temporal")
    await run_again(task_id, "temporal", "failed")
    await run_again(task_id, "temporal", "completed")
    assert answers((await all_outcomes())[-1]) == (None, True, False)


async def test_failures_of_one_engine_are_not_counted_against_the_other(
    run_task: RunTask, run_again: RunAgain, all_outcomes: AllOutcomes, recorder: Recorder, evidence: Evidence
) -> None:
    """Tasks that failed on Redis and are over on Temporal answer nothing, yet a dead one is dead."""
    for end in ("completed", "final"):
        await run_again(await run_task("failed", backend="redis"), "temporal", end)
    dead = await run_task("final", backend="redis")
    await run_again(dead, "temporal", "final")
    there = [one for one in await all_outcomes() if one.backend == "temporal"]
    assert {answers(one) for one in there} == {(None, None, None)}
    assert sum(one.died for one in there) == 2
    (_, at) = await evidence.newest()
    day = timedelta(days=1)
    counts = total([one for one in await evidence.slices("acme", at - day, at + day) if one.backend == "temporal"])
    assert (counts.ended, counts.first, counts.over, counts.retried, counts.dead, counts.attempts) == (3, 0, 0, 0, 0, 0)


async def test_a_task_that_no_engine_began_dies_there_too(
    new_task: Any, transitions: Transitions, all_outcomes: AllOutcomes, database: Database
) -> None:
    """A task that expired on an engine counts, one that never reached an engine does not."""
    await new_task(task_id="a", tenant_id="acme", backend="temporal")
    await new_task(task_id="b", tenant_id="acme", backend=None, state="waiting")
    await database.execute("UPDATE taskgate.dispatch SET expires_at = now() - interval '1 second'")
    await transitions.expire()
    (outcome,) = await all_outcomes()
    assert (outcome.task_id, outcome.backend, outcome.dead, outcome.failed) == ("a", "temporal", True, None)


async def test_nodes_of_a_dag_are_counted_with_their_run_only(
    run_task: RunTask, all_outcomes: AllOutcomes, database: Database
) -> None:
    await run_task("completed", dag_run_id="run")
    assert await all_outcomes() == []
    assert not await database.fetchval("SELECT EXISTS (SELECT 1 FROM taskgate.attempt WHERE NOT is_counted)")


async def test_two_who_count_at_once_count_each_run_once(
    run_task: RunTask, database: Database, evidence: Evidence
) -> None:
    for _ in range(60):
        await run_task("failed", "completed")
    counters = [Recorder(database, batch=7) for _ in range(4)]
    await asyncio.gather(*(counter.tick() for counter in counters))
    await counters[0].tick()
    outcomes = (await evidence.since(0)).outcomes
    assert Counter((one.task_id, one.attempt) for one in outcomes).most_common(1)[0][1] == 1
    assert len(outcomes) == 120
    (_, at) = await evidence.newest()
    hour = timedelta(hours=1)
    counts = total(await evidence.slices("acme", at - hour, at + hour))
    assert (counts.ended, counts.first, counts.failed, counts.over, counts.retried, counts.dead, counts.attempts) == (
        120,
        60,
        60,
        60,
        60,
        0,
        120,
    )
    assert len(counts.run) == len(counts.wait) == len(counts.total) == 60


async def test_a_commit_that_comes_late_is_not_passed_over(
    run_task: RunTask, new_task: Any, transitions: Transitions, database: Database, all_outcomes: AllOutcomes
) -> None:
    """A transaction that began earlier may end later: its run is counted after those that were visible before."""
    late = await new_task(tenant_id="acme")
    await run_task("completed")
    await transitions.claim(late, "redis", 1, "w1", with_payload=False)
    async with database.transaction() as db:
        await db.execute("UPDATE taskgate.attempt SET ended_at = now(), outcome = 'completed' WHERE task_id = $1", late)
        await db.execute("UPDATE taskgate.dispatch SET state = 'completed' WHERE task_id = $1", late)
        await run_task("completed")
        before = await all_outcomes()
    after = await all_outcomes()
    assert len(before) == 2
    assert after[:2] == before
    assert after[2].task_id == late
    assert after[2].at < after[1].at


async def test_everybody_together_is_summed_up_beside_each_tenant(
    run_task: RunTask, recorder: Recorder, evidence: Evidence
) -> None:
    for tenant in ("acme", "globex", None):
        await run_task("completed", tenant_id=tenant)
    await recorder.tick()
    (_, at) = await evidence.newest()
    window = at - timedelta(hours=1), at + timedelta(hours=1)
    assert total(await evidence.slices_of_everybody(*window)).over == 3
    assert total(await evidence.slices("globex", *window)).over == 1
    assert total(await evidence.slices(None, *window)).over == 1


async def test_the_newest_slices_of_each_type_and_engine(history: Any, evidence: Evidence) -> None:
    await history.ended(10, hours_ago=3)
    await history.ended(10, hours_ago=3, backend="temporal", task_type="rare")
    await history.ended(10, hours_ago=2)
    (_, at) = await evidence.newest()
    found = await evidence.newest_slices("acme", at - timedelta(hours=4), at, each=3)
    assert Counter((one.task_type, one.backend) for one in found) == {("probe", "redis"): 3, ("rare", "temporal"): 3}
    assert all(one.at > at - timedelta(hours=2.1) for one in found if one.task_type == "probe")
    assert [one.at for one in found] == sorted(one.at for one in found)


async def test_what_everybody_did_beside_it(history: Any, evidence: Evidence) -> None:
    for hours in (5, 4, 3, 2):
        await history.ended(10, hours_ago=hours, tenant_id="globex")
    await history.ended(10, hours_ago=4, tenant_id="globex", task_type="other")
    await history.ended(10, hours_ago=4, tenant_id="globex", backend="temporal")
    for hours in (5, 4, 2):
        await history.ended(10, hours_ago=hours, backend="temporal")
    (_, at) = await evidence.newest()
    mine = await evidence.slices("acme", at - timedelta(hours=6), at)
    found = await evidence.slices_beside(mine, "redis", at - timedelta(hours=4.5))
    assert {one.backend for one in found} == {"redis"}
    assert {one.task_type for one in found} == {"probe"}
    # Ten minutes from four hours ago on, and from two hours ago on; a block begins up to ten minutes before.
    assert {round((at - one.at) / timedelta(hours=1)) for one in found} == {4, 2}
    assert total(found).over == 20


async def test_a_clock_that_was_set_back_gives_no_negative_duration(
    run_task: RunTask, database: Database, all_outcomes: AllOutcomes
) -> None:
    await run_task("completed")
    await database.execute("UPDATE taskgate.attempt SET ended_at = started_at - interval '1 hour'")
    (outcome,) = await all_outcomes()
    assert (outcome.run_seconds, outcome.total_seconds) == (0, 0)


async def test_buckets_are_the_same_here_and_in_postgresql(database: Database) -> None:
    seconds = [0.0, 0.001, 0.0011, 0.0029, 0.5, 1.0, 3.7, 59.0, 601.0, 86_401.0, 1e9]
    rows = await database.fetch("SELECT taskgate.log_bucket(s) AS bucket FROM unnest($1::float8[]) AS s", seconds)
    assert [row["bucket"] for row in rows] == [bucket_of(one) for one in seconds]


async def test_what_is_old_is_forgotten(
    run_task: RunTask, recorder: Recorder, evidence: Evidence, database: Database
) -> None:
    await run_task("completed")
    await recorder.tick()
    await database.execute(
        "INSERT INTO taskgate.parity_gate (tenant_id, task_type, moved_at, samples, fixed_by, fixed_at)"
        " SELECT 'acme', 'probe', now() - old, 20, 'ada', now() - old FROM unnest('{47 h,49 h}'::interval[]) AS old"
    )
    await recorder.forget(days=2)
    assert await database.fetchval("SELECT count(*) FROM taskgate.parity_gate") == 1
    assert len((await evidence.since(0)).outcomes) == 1
    await database.execute("UPDATE taskgate.outcome SET counted_at = now() - interval '25 hours'")
    await database.execute("UPDATE taskgate.outcome_slice SET slice_at = now() - interval '49 hours'")
    await recorder.forget(days=2)
    assert (await evidence.since(0)).outcomes == []
    assert await database.fetchval("SELECT count(*) FROM taskgate.outcome_slice") == 0


async def test_a_schedules_task_says_how_late_it_began(
    run_task: RunTask, database: Database, all_outcomes: AllOutcomes
) -> None:
    task_id = await run_task("completed", schedule_id="s")
    await database.execute(
        "INSERT INTO taskgate.schedule (schedule_id, user_id, name, definition, created_at, updated_at)"
        " VALUES ('s', 'u', 's', '{}', now(), now())"
    )
    await database.execute(
        "INSERT INTO taskgate.firing (schedule_id, nominal_at, kind, overlap, outcome, task_id, fire_at)"
        " SELECT 's', started_at - interval '9 seconds', 'clock', 'skip', 'fired', $1,"
        " started_at - interval '7 seconds'"
        " FROM taskgate.attempt WHERE task_id = $1",
        task_id,
    )
    await run_task("completed")
    assert [outcome.late_seconds for outcome in await all_outcomes()] == [7.0, None]


async def test_the_wait_counts_from_when_a_task_might_begin(
    run_task: RunTask, database: Database, all_outcomes: AllOutcomes
) -> None:
    """A delay that was asked for is no wait; runs that are repeated have none."""
    await run_task("failed", "completed")
    await database.execute(
        "UPDATE taskgate.dispatch d"
        " SET created_at = started_at - interval '1 hour', not_before = started_at - interval '3 seconds'"
        " FROM taskgate.attempt a WHERE a.task_id = d.task_id AND a.attempt = 1"
    )
    first, second = await all_outcomes()
    assert (first.wait_seconds, first.total_seconds) == (3.0, None)
    assert second.wait_seconds is None
    assert second.total_seconds is not None
    assert second.total_seconds >= 3.0
