"""Cancels that engines are owed: none hides another, and a task keeps its time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backends.errors import EngineUnavailable
from backends.memory.engine import MemoryEngine
from backends.temporal.engine import TemporalEngine
from gateway.dead_letters.filter import SQL as DEAD_LETTERS
from gateway.recovery.duties import EngineDuties
from gateway.tasks.lifecycle.run_time import set_run_time
from workers.testing.proxy import FaultyProxy
from workers.testing.waiting import eventually

DUTIES = "SELECT count(*) FROM taskgate.engine_duty"
#: More than an engine is told at once.
MANY = 64


@pytest.mark.parametrize("other", ["away", "not configured", "hanging"])
async def test_many_cancels_of_temporal_hide_none_of_redis(
    other, database, transitions, new_task, queue, redis_engine, new_duties, running, caplog, start_of,
    temporal_proxy, distant_temporal,
):  # fmt: skip
    """A hundred tasks on Temporal are stopped while it cannot be told; then one on Redis is. Redis is told within
    seconds, so that no legacy worker runs it, and the task may be retried.
    """
    await _trouble(temporal_proxy, other)
    duties: EngineDuties = new_duties(redis_engine, *([] if other == "not configured" else [distant_temporal]))
    for _ in range(100):
        await transitions.stop(await new_task(backend="temporal"))
    victim = await new_task(backend="redis")
    await redis_engine.start_workflow(start_of(victim))
    await transitions.stop(victim)
    running(duties.run())

    async def is_told() -> bool:
        told = "SELECT cancel_epoch IS NULL FROM taskgate.dispatch WHERE task_id = $1"
        return await queue.llen("queue:group:g") == 0 and await database.fetchval(told, victim)

    await eventually(is_told, within=10)
    assert await database.fetchval(DUTIES) == 100
    if other == "not configured":
        assert duties.homeless == {"temporal": 100}
        assert "100 duties wait for backend temporal, which is not configured here" in caplog.text


@pytest.mark.parametrize("other", ["away", "not configured", "hanging"])
async def test_many_cancels_of_redis_hide_none_of_temporal(
    other, database, transitions, new_task, temporal_server, temporal_namespace, new_duties, running, start_of,
    redis_proxy, distant_redis,
):  # fmt: skip
    """The same the other way round; Redis may also have been taken out of the settings for good."""
    await _trouble(redis_proxy, other)
    temporal = TemporalEngine(temporal_server, temporal_namespace, timeout=5.0)
    for _ in range(100):
        await transitions.stop(await new_task(backend="redis"))
    start = start_of(await new_task(backend="temporal"))
    await temporal.start_workflow(start)
    await transitions.stop(start.ref.task_id)
    running(new_duties(temporal, *([] if other == "not configured" else [distant_redis])).run())

    async def is_over() -> bool:
        status = await temporal.get_workflow_status(start.ref)
        return status is not None and status.state.is_terminal

    await eventually(is_over, within=10)
    assert await database.fetchval(f"{DUTIES} WHERE backend = 'redis'") == 100
    await temporal.close()


async def _trouble(proxy: FaultyProxy, kind: str) -> None:
    if kind == "away":
        await proxy.refuse()
    elif kind == "hanging":
        proxy.swallow_answers()


async def test_a_crowd_of_cancels_keeps_no_later_one_waiting(database, transitions, new_task, new_duties, monkeypatch):
    """A tenant cancels everything; another one stops a task."""
    engine, told = MemoryEngine(name="redis"), []

    async def cancel(ref: Any, reason: str) -> bool:
        told.append(ref.task_id)
        return True

    monkeypatch.setattr(engine, "cancel_workflow", cancel)
    await database.execute(
        "INSERT INTO taskgate.engine_duty (kind, backend, subject, epoch)"
        " SELECT 'cancel', 'redis', 't' || n, 1 FROM generate_series(1, 2000) n"
    )
    victim = await new_task()
    await transitions.stop(victim)
    assert await new_duties(engine).settle("redis", "cancel") == 2001
    assert len(set(told)) == 2001
    assert told.index(victim) < MANY
    assert "t1" in told[:MANY]


async def test_a_cancel_that_another_one_displaced_is_told_all_the_same(database, transitions, new_task, new_duties):
    """Stopped on Redis, which is away; retried and stopped on Temporal."""
    away, there = MemoryEngine(name="redis"), MemoryEngine(name="temporal")
    away.faults.fail_next("cancel_workflow", EngineUnavailable())
    task = await new_task()
    await transitions.stop(task)
    duties = new_duties(away, there)
    assert await duties.settle("redis", "cancel") == 0
    await transitions.retry(task)
    await database.execute("UPDATE taskgate.dispatch SET state = 'queued', backend = 'temporal', epoch = 2")
    await transitions.stop(task)
    assert await duties.settle("temporal", "cancel") == 1
    row = "SELECT cancel_epoch, cancel_backend FROM taskgate.dispatch"
    assert tuple(await database.fetchrow(row)) == (1, "redis")
    await database.execute("UPDATE taskgate.engine_duty SET due_at = now()")
    assert await duties.settle("redis", "cancel") == 1
    assert tuple(await database.fetchrow(row)) == (None, None)


@pytest.mark.parametrize("how", ["redriven", "given another time"])
async def test_a_task_whose_cancel_is_told_keeps_its_time(how, database, transitions, new_task, new_duties):
    if how == "redriven":  # they expired while their engine was away, and were spread out
        tasks = [await new_task(expires_at=datetime(2020, 1, 1, tzinfo=UTC)) for _ in range(3)]
        assert await transitions.expire() == 3
        await database.fetch(DEAD_LETTERS.redrive, tasks, [60.0, 120.0, 180.0], None)
    else:  # recalled by a pause
        tasks = [await new_task() for _ in range(3)]
        await database.execute(
            "UPDATE taskgate.dispatch SET state = 'waiting', held = 'paused:p', cancel_epoch = epoch,"
            " cancel_backend = backend, due_at = now()"
        )
        for number, task in enumerate(tasks):
            await set_run_time(database, task, datetime.now(UTC) + timedelta(seconds=60 * (number + 1)))
        await database.execute("UPDATE taskgate.dispatch SET held = NULL")
    assert await new_duties(MemoryEngine(name="redis")).settle("redis", "cancel") == 3
    rows = await database.fetch("SELECT due_at, not_before FROM taskgate.dispatch ORDER BY not_before")
    assert [row["due_at"] for row in rows] == [row["not_before"] for row in rows]
    assert [round((row["due_at"] - datetime.now(UTC)).total_seconds(), -1) for row in rows] == [60, 120, 180]


async def test_a_task_without_a_time_goes_as_soon_as_its_cancel_is_told(database, transitions, new_task, new_duties):
    task = await new_task()
    await transitions.stop(task)
    await transitions.retry(task)
    await database.execute("UPDATE taskgate.dispatch SET due_at = now() + interval '1 hour'")  # put off meanwhile
    assert await new_duties(MemoryEngine(name="redis")).settle("redis", "cancel") == 1
    assert await database.fetchval("SELECT due_at <= now() FROM taskgate.dispatch")
