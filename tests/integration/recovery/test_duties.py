"""What an engine has to be told waits for that engine alone, and for no particular gateway."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from backends.errors import EngineError
from backends.memory.engine import MemoryEngine
from gateway.recovery import duties as sending
from workers.outcome import FENCED, Stopped
from workers.testing.waiting import eventually

DUTIES = "SELECT count(*) FROM taskgate.engine_duty"
#: More than an engine is told at once.
MANY = 64


async def test_a_task_whose_worker_lost_its_lease_and_lived_is_started_again(
    database, transitions, new_task, new_lease, dead_here, redis_engine, new_bench, new_duties, new_reaper, start_of
):  # fmt: skip
    """The worker has dropped the payload itself, so that the engine has nothing to put back."""
    bench = await new_bench()
    task = await new_task(backend="redis")
    await redis_engine.start_workflow(start_of(task))
    run = await bench.next()
    await new_lease(bench.worker_id, backend="redis", lock_key=12, **dead_here)
    assert await transitions.claim(task, "redis", 1, bench.worker_id, with_payload=False)
    run.finish(Stopped(FENCED))
    await bench.stop()
    await new_reaper().tick()
    assert await new_duties(redis_engine).settle("redis", "requeue") == 1
    row = await database.fetchrow("SELECT state, due_at <= now() AS is_due FROM taskgate.dispatch")
    assert dict(row) == {"state": "waiting", "is_due": True}
    assert [r["outcome"] for r in await database.fetch("SELECT outcome FROM taskgate.attempt")] == ["lost"]


@pytest.mark.parametrize("claimed", [True, False], ids=["claimed", "handed over only"])
async def test_the_next_gateway_goes_on_where_the_last_one_stopped(
    claimed, database, transitions, new_task, new_lease, dead_here, redis_engine, new_bench,
    redis_proxy, distant_redis, new_duties, new_reaper, running, start_of,
):  # fmt: skip
    """A gateway dies after it declared a worker lost and before it told Redis, which is away. A living worker claims
    the task within three seconds of the return of Redis, and its group is free.
    """
    bench = await new_bench()
    task = await new_task(backend="redis")
    await redis_engine.start_workflow(start_of(task))
    await bench.next()
    await new_lease(bench.worker_id, backend="redis", lock_key=12, **dead_here)
    if claimed:
        assert await transitions.claim(task, "redis", 1, bench.worker_id, with_payload=False)
    await bench.kill()

    await redis_proxy.refuse()
    await new_reaper().tick()
    assert await new_duties(distant_redis).settle("redis", "requeue" if claimed else "release") == 0
    # That gateway dies; another one finds Redis away as well.
    running(new_duties(distant_redis).run())

    async def was_tried_again() -> bool:
        return bool(
            await database.fetchval("SELECT bool_or(due_at > created_at + interval '2 s') FROM taskgate.engine_duty")
        )

    await eventually(was_tried_again, within=10)
    assert await database.fetchval(DUTIES) == 1 + claimed
    other = await new_bench()
    await new_lease(other.worker_id, backend="redis", lock_key=13)
    await redis_proxy.restore()
    async with asyncio.timeout(3):
        assert (await other.next()).assignment.task_id == task
        claim = await transitions.claim(task, "redis", 1, other.worker_id, with_payload=False)
    assert claim.attempt == 1 + claimed
    assert await database.fetchval(
        "SELECT lost_at IS NOT NULL FROM taskgate.process WHERE process_id = $1", bench.worker_id
    )


@pytest.mark.parametrize("kind", ["cancel", "requeue"])
async def test_a_duty_that_always_fails_waits_longer_each_time_and_delays_no_other(
    kind, database, new_task, new_duties, monkeypatch
):
    engine = MemoryEngine(name="redis")
    told: list[str] = []

    async def tell(ref: Any, reason: str, **more: Any) -> bool:
        told.append(ref.task_id)
        if ref.task_id == "bad":
            raise EngineError("it cannot be told this")
        return True

    monkeypatch.setattr(engine, f"{kind}_workflow", tell)
    for task in ["bad", *(f"t{n}" for n in range(MANY))]:
        await new_task(task_id=task, attempt=1)
        await database.execute(
            "INSERT INTO taskgate.engine_duty (kind, backend, subject, epoch, attempt) VALUES ($1, 'redis', $2, 1, 1)",
            kind,
            task,
        )
    duties = new_duties(engine)
    assert await duties.settle("redis", kind) == MANY
    pause = "SELECT subject, failures, extract(epoch FROM due_at - now())::float8 AS pause FROM taskgate.engine_duty"
    pauses = []
    for failures in range(1, 9):
        [row] = await database.fetch(pause)
        assert (row["subject"], row["failures"]) == ("bad", failures)
        pauses.append(row["pause"])
        await database.execute("UPDATE taskgate.engine_duty SET due_at = now()")
        assert await duties.settle("redis", kind) == 0
    assert [round(pause) for pause in pauses] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert told.count("bad") == 9


@pytest.mark.parametrize("kind", ["cancel", "requeue"])
async def test_an_engine_that_slows_down_with_many_calls_is_told_few_at_once(
    kind, database, new_task, new_duties, monkeypatch
):
    """Redis reads a long list for each."""
    engine, under_way = MemoryEngine(name="redis"), 0

    async def tell(ref: Any, reason: str, **more: Any) -> bool:
        nonlocal under_way
        under_way += 1
        try:
            await asyncio.sleep(0.02 * under_way)
        finally:
            under_way -= 1
        return True

    monkeypatch.setattr(engine, f"{kind}_workflow", tell)
    monkeypatch.setattr(sending, "TELL_SECONDS", 0.2)
    for number in range(40):
        await new_task(task_id=f"t{number}", attempt=1)
    await database.execute(
        "INSERT INTO taskgate.engine_duty (kind, backend, subject, epoch, attempt)"
        " SELECT $1, 'redis', 't' || n, 1, 1 FROM generate_series(0, 39) n",
        kind,
    )
    assert await new_duties(engine).settle("redis", kind) == 40
    assert await database.fetchval(DUTIES) == 0


async def test_what_its_time_does_not_allow_is_told_with_the_next_page(database, new_duties, monkeypatch):
    engine, told = MemoryEngine(name="redis"), []

    async def cancel(ref: Any, reason: str) -> bool:
        told.append(ref.task_id)
        await asyncio.sleep(0)
        return True

    monkeypatch.setattr(engine, "cancel_workflow", cancel)
    monkeypatch.setattr(sending, "BEGIN_SECONDS", -1.0)
    await database.execute(
        "INSERT INTO taskgate.engine_duty (kind, backend, subject, epoch)"
        " SELECT 'cancel', 'redis', 't' || n, 1 FROM generate_series(1, 10) n"
    )
    assert await new_duties(engine).settle("redis", "cancel") == 10
    assert len(set(told)) == len(told) == 10


async def test_a_new_duty_does_not_wait_behind_those_that_there_was_no_time_for(database, new_duties, monkeypatch):
    engine, told = MemoryEngine(name="redis"), []
    add = "INSERT INTO taskgate.engine_duty (kind, backend, subject, epoch) SELECT 'cancel', 'redis', $1 || n, 1"

    async def cancel(ref: Any, reason: str) -> bool:
        told.append(ref.task_id)
        if len(told) == 1:
            await database.execute(f"{add} FROM generate_series(1, 1) n", "new")
        return True

    monkeypatch.setattr(engine, "cancel_workflow", cancel)
    monkeypatch.setattr(sending, "BEGIN_SECONDS", -1.0)
    await database.execute(f"{add} FROM generate_series(1, 200) n", "t")
    assert await new_duties(engine).settle("redis", "cancel") == 201
    assert told.index("new1") < 2 * sending.FEW


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_duty_without_an_answer_fails_if_its_engine_answers_otherwise(
    is_there, database, new_task, new_duties, monkeypatch
):
    """A requeue that Redis does not finish in time keeps its worker's other tasks from nobody."""
    engine = MemoryEngine(name="redis")

    async def requeue(ref: Any, reason: str, **more: Any) -> bool:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(engine, "requeue_workflow", requeue)
    monkeypatch.setattr(sending, "TELL_SECONDS", 0.05)
    engine.faults.unavailable = not is_there
    await new_task(task_id="t", attempt=1)
    await database.execute(
        "INSERT INTO taskgate.engine_duty (kind, backend, subject, epoch, attempt, worker_id)"
        " VALUES ('requeue', 'redis', 't', 1, 1, 'w1'), ('release', 'redis', 'w1', 0, 0, NULL)"
    )
    telling = new_duties(engine)
    assert await telling.settle("redis", "requeue") == 0
    assert await database.fetchval("SELECT failures FROM taskgate.engine_duty WHERE kind = 'requeue'") == is_there
    assert await telling.settle("redis", "release") == is_there


async def test_an_engine_that_is_away_makes_no_duty_wait_longer(database, transitions, new_task, new_duties):
    engine = MemoryEngine(name="redis")
    engine.faults.unavailable = True
    await transitions.stop(await new_task())
    duties = new_duties(engine)
    for _ in range(5):
        assert await duties.settle("redis", "cancel") == 0
        row = await database.fetchrow("SELECT failures, due_at - now() AS pause FROM taskgate.engine_duty")
        assert row["failures"] == 0
        assert row["pause"] <= timedelta(seconds=1)
        await database.execute("UPDATE taskgate.engine_duty SET due_at = now()")


async def test_a_run_that_was_claimed_again_is_not_taken_back(
    database, transitions, new_task, new_lease, dead_here, new_duties, new_reaper, monkeypatch
):
    """Its engine gave it to another worker meanwhile: Temporal by a time-out of its own."""
    engine = MemoryEngine(name="temporal")

    async def requeue(ref: Any, reason: str, **more: Any) -> bool:
        raise AssertionError("a living worker runs it")

    monkeypatch.setattr(engine, "requeue_workflow", requeue)
    task = await new_task(backend="temporal")
    await new_lease("w1", backend="temporal", **dead_here)
    assert await transitions.claim(task, "temporal", 1, "w1", with_payload=False)
    await new_reaper().tick()
    await new_lease("w2", backend="temporal", lock_key=8)
    assert await transitions.claim(task, "temporal", 1, "w2", with_payload=False)
    assert await new_duties(engine).settle("temporal", "requeue") == 1
    assert await database.fetchval("SELECT state FROM taskgate.dispatch") == "running"


async def test_a_run_that_a_legacy_worker_took_is_not_taken_back(
    database, transitions, new_task, new_lease, dead_here, new_duties, new_reaper, redis_engine, queue, new_bench,
    start_of,
):  # fmt: skip
    """Redis put it back, but its answer was lost; a legacy worker was faster than the second requeue."""
    bench = await new_bench()
    task = await new_task()
    await new_lease(bench.worker_id, backend="redis", lock_key=12, **dead_here)
    await redis_engine.start_workflow(start_of(task))
    await bench.next()
    assert await transitions.claim(task, "redis", 1, bench.worker_id, with_payload=False)
    await bench.kill()
    await new_reaper().tick()
    assert await redis_engine.requeue_workflow(start_of(task).ref, "its worker was lost")
    assert await queue.rpoplpush("queue:group:g", "queue:processing:global")
    await database.execute(
        "UPDATE task_logs SET status = 'PROCESSING', started_at = now(), worker_id = 'legacy' WHERE id = $1", task
    )
    assert await new_duties(redis_engine).settle("redis", "requeue") == 1
    assert await queue.llen("queue:group:g") == 0
    assert await queue.llen("queue:processing:global") == 1
    assert await database.fetchval(f"{DUTIES} WHERE kind = 'requeue'") == 0


async def test_a_lost_run_that_its_engine_forgot_starts_anew(
    database, transitions, new_task, new_lease, dead_here, new_duties, new_reaper
):
    task = await new_task()
    await new_lease("w1", backend="redis", **dead_here)
    assert await transitions.claim(task, "redis", 1, "w1", with_payload=False)
    await new_reaper().tick()
    assert await new_duties(MemoryEngine(name="redis")).settle("redis", "requeue") == 1
    assert await database.fetchval("SELECT state FROM taskgate.dispatch") == "waiting"


async def test_two_gateways_tell_an_engine_once(database, transitions, new_task, new_duties, monkeypatch):
    engine, told = MemoryEngine(name="redis"), []

    async def cancel(ref: Any, reason: str) -> bool:
        told.append(ref.task_id)
        await asyncio.sleep(0)
        return True

    monkeypatch.setattr(engine, "cancel_workflow", cancel)
    tasks = [await new_task() for _ in range(100)]
    for task in tasks:
        await transitions.stop(task)
    both = await asyncio.gather(*(new_duties(engine).settle("redis", "cancel") for _ in range(2)))
    assert sum(both) == 100
    assert sorted(told) == sorted(tasks)
