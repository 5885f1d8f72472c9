"""Begins and ends are counted once, by whichever gateway leads, whoever wrote them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from backends.memory.engine import MemoryEngine
from gateway.observability.tally import Tally
from gateway.observability.telemetry import Telemetry
from gateway.recovery.reconciler import Reconciler
from gateway.storage.database import Database
from gateway.tasks.lifecycle.transitions import Transitions


@pytest.fixture
def tally(database: Database, telemetry: Telemetry) -> Tally:
    return Tally(database, telemetry.tasks, late_seconds=0)


@pytest.fixture
def counted(telemetry: Telemetry, total: Callable[..., float]) -> Callable[..., float]:
    """What a counter of tasks says."""
    return lambda name, **labels: total(telemetry.metrics.render().decode(), f"taskgate_tasks_{name}_total", **labels)


async def test_a_task_that_completes(
    tally: Tally,
    telemetry: Telemetry,
    counted: Any,
    total: Any,
    transitions: Transitions,
    new_task: Any,
    new_worker: Any,
) -> None:
    worker, task = await new_worker(), await new_task(stage="off")
    assert (claim := await transitions.claim(task, "redis", 1, worker, with_payload=False)) is not None
    await tally.tick()
    assert (counted("started", backend="redis", stage="off", tier="standard"), counted("completed")) == (1, 0)
    assert await transitions.complete(task, claim.attempt)
    await tally.tick()
    await tally.tick()
    assert (counted("started"), counted("completed", backend="redis"), counted("failed"), counted("dead")) == (
        1,
        1,
        0,
        0,
    )
    page = telemetry.metrics.render().decode()
    for name in ("wait", "dispatch", "run", "end_to_end"):
        assert total(page, f"taskgate_task_{name}_seconds_count", backend="redis", task_type="probe") == 1, name


async def test_a_quick_task_is_begun_and_ended_between_two_looks(
    tally: Tally, counted: Any, transitions: Transitions, new_task: Any, new_worker: Any
) -> None:
    worker, task = await new_worker(), await new_task()
    claim = await transitions.claim(task, "redis", 1, worker, with_payload=False)
    assert claim is not None
    await transitions.complete(task, claim.attempt)
    await tally.tick()
    assert (counted("started"), counted("completed")) == (1, 1)


async def test_each_failed_run_and_the_end(
    tally: Tally, counted: Any, transitions: Transitions, new_task: Any, new_worker: Any, database: Database
) -> None:
    worker, task = await new_worker(), await new_task(max_attempts=2)
    for expected in (("queued", 1, 1, 0), ("failed", 2, 1, 1)):
        claim = await transitions.claim(task, "redis", 1, worker, with_payload=False)
        assert claim is not None
        await transitions.fail(task, claim.attempt, "no", final=False, engine_retries=True)
        await tally.tick()
        state = await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = $1", task)
        assert (state, counted("failed"), counted("retried"), counted("dead")) == expected
    assert (counted("started"), counted("completed"), counted("interrupted")) == (2, 0, 0)
    assert await database.fetchval("SELECT count(*) FROM taskgate.set_back") == 0


async def test_a_run_that_is_handed_back_is_interrupted_not_failed(
    tally: Tally, counted: Any, transitions: Transitions, new_task: Any, new_worker: Any
) -> None:
    worker, task = await new_worker(), await new_task()
    claim = await transitions.claim(task, "redis", 1, worker, with_payload=False)
    assert claim is not None
    assert await transitions.hand_back(task, claim.attempt)
    await tally.tick()
    assert (counted("started"), counted("interrupted"), counted("failed"), counted("retried")) == (1, 1, 0, 0)


async def test_an_end_counts_although_the_task_is_run_again_before_the_next_look(
    tally: Tally, counted: Any, transitions: Transitions, new_task: Any, new_worker: Any
) -> None:
    worker, task = await new_worker(), await new_task()
    claim = await transitions.claim(task, "redis", 1, worker, with_payload=False)
    assert claim is not None
    await transitions.fail(task, claim.attempt, "no", final=True, engine_retries=True)
    await transitions.retry(task)
    await tally.tick()
    await transitions.stop(task)
    await tally.tick()
    assert (counted("started"), counted("dead"), counted("failed"), counted("stopped")) == (1, 1, 1, 1)
    # That somebody asked for it is no repetition.
    assert counted("retried") == 0


async def test_two_leaders_one_after_the_other_count_everything_once(
    database: Database, telemetry: Telemetry, counted: Any, transitions: Transitions, new_task: Any, new_worker: Any
) -> None:
    worker = await new_worker()
    for number in range(6):
        task = await new_task()
        claim = await transitions.claim(task, "redis", 1, worker, with_payload=False)
        assert claim is not None
        leader = Tally(database, telemetry.tasks, late_seconds=0)
        await leader.tick()
        if number % 2:
            await transitions.complete(task, claim.attempt)
    await Tally(database, telemetry.tasks, late_seconds=0).tick()
    assert (counted("started"), counted("completed")) == (6, 3)


async def test_what_may_still_be_written_waits(
    database: Database, telemetry: Telemetry, counted: Any, transitions: Transitions, new_task: Any, new_worker: Any
) -> None:
    worker, task = await new_worker(), await new_task()
    claim = await transitions.claim(task, "redis", 1, worker, with_payload=False)
    assert claim is not None
    patient = Tally(database, telemetry.tasks, late_seconds=3600)
    await patient.tick()
    assert counted("started") == 0
    await Tally(database, telemetry.tasks, late_seconds=0).tick()
    assert counted("started") == 1


@pytest.mark.parametrize("days", [1, -1])
async def test_after_a_long_gap_or_a_clock_that_was_set_back_it_goes_on_from_now(
    tally: Tally, database: Database, counted: Any, transitions: Transitions, new_task: Any, new_worker: Any, days: int
) -> None:
    await database.execute("UPDATE taskgate.tally SET counted_to = now() + make_interval(days => $1)", days)
    await tally.tick()
    worker, task = await new_worker(), await new_task()
    assert await transitions.claim(task, "redis", 1, worker, with_payload=False) is not None
    await tally.tick()
    assert counted("started") == 1


@pytest.mark.parametrize("ago", [0, 300])
async def test_what_a_legacy_worker_ended_counts_however_late_it_is_merged(
    tally: Tally, database: Database, counted: Any, changes: Any, new_task: Any, ago: int
) -> None:
    reconciler = Reconciler(database, {"memory": MemoryEngine()}, changes, on_ended=tally.count_late)
    reconciler._unfenced = ["redis"]
    task = await new_task()
    await database.execute(
        "UPDATE task_logs SET status = 'COMPLETED', worker_id = 'old', started_at = now() - interval '400 s',"
        " completed_at = now() - make_interval(secs => $2) WHERE id = $1",
        task,
        float(ago),
    )
    if ago:
        await tally.tick()
    async with tally.lock:
        await reconciler.tick()
    await tally.tick()
    await tally.tick()
    assert counted("completed") == 1
