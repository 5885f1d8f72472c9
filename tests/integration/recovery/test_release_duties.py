"""What a release of a lost worker hands out: nothing before its runs were taken back, and nothing that is over."""

from __future__ import annotations

import json

import pytest

from backends.memory.engine import MemoryEngine
from backends.port import WorkflowState
from gateway.recovery.reaper import SQL as REAPER_SQL
from gateway.tasks.lifecycle.foreign import ForeignTasks
from gateway.tasks.lifecycle.release import release

DUTIES = "SELECT count(*) FROM taskgate.engine_duty"


async def test_a_worker_whose_runs_are_not_taken_back_yet_is_not_released(
    database, transitions, new_task, new_lease, dead_here, redis_engine, new_duties, new_reaper
):
    """It is lost before they are: a legacy worker that took a payload from the released list would be robbed of it."""
    task = await new_task(backend="redis")
    await new_lease("w1", backend="redis", lock_key=12, **dead_here)
    assert await transitions.claim(task, "redis", 1, "w1", with_payload=False)
    await database.fetchrow(REAPER_SQL.declare_lost, ["w1"])
    duties = new_duties(redis_engine)
    assert await duties.settle("redis", "release") == 0
    await new_reaper().tick()
    assert await duties.settle("redis", "requeue") == 1
    assert await duties.settle("redis", "release") == 1


async def test_a_worker_is_released_after_its_runs_were_taken_back(
    database, transitions, new_task, new_lease, dead_here, new_duties, new_reaper, start_of
):
    """What another worker took up from the released list would be taken from it."""
    engine = MemoryEngine(name="redis")
    task = await new_task()
    await engine.start_workflow(start_of(task))
    await new_lease("w1", backend="redis", **dead_here)
    assert await transitions.claim(task, "redis", 1, "w1", with_payload=False)
    await new_reaper().tick()
    duties = new_duties(engine)
    assert await duties.settle("redis", "release") == 0
    assert await duties.settle("redis", "requeue") == 1
    assert await duties.settle("redis", "release") == 1
    assert await database.fetchval(DUTIES) == 0


@pytest.mark.parametrize(
    ("end", "state", "error"),
    [
        ("completed", WorkflowState.COMPLETED, None),
        ("failed for now", WorkflowState.FAILED, "no luck"),
        ("failed", WorkflowState.FAILED, "no luck"),
        ("stopped", WorkflowState.CANCELLED, "its run had ended"),
    ],
)
async def test_what_a_lost_worker_had_ended_does_not_wait_again_for_a_legacy_worker(
    end, state, error, database, transitions, new_task, new_lease, dead_here, new_duties, new_reaper, redis_engine,
    queue, new_bench, start_of,
):  # fmt: skip
    """It told PostgreSQL, and died before it told Redis. A legacy worker would run it again; Redis learns the end."""
    bench = await new_bench()
    task, other = await new_task(), await new_task()
    await new_lease(bench.worker_id, backend="redis", lock_key=12, **dead_here)
    await redis_engine.start_workflow(start_of(task))
    await bench.next()
    await redis_engine.start_workflow(start_of(other, "h"))
    await bench.next()
    claim = await transitions.claim(task, "redis", 1, bench.worker_id, with_payload=False)
    match end:
        case "completed":
            await transitions.complete(task, claim.attempt)
        case "failed for now" | "failed":
            final = end == "failed"
            await transitions.fail(task, claim.attempt, "no luck", final=final, engine_retries=False)
        case _:
            await transitions.stop(task)
    await bench.kill()
    await new_reaper().tick()
    duties = new_duties(redis_engine)
    await duties.settle("redis", "requeue")
    assert await duties.settle("redis", "release") == 1
    assert await queue.llen("queue:group:g") == 0
    assert await queue.llen("queue:group:h") == 1
    status = await redis_engine.get_workflow_status(start_of(task).ref)
    assert (status.state, status.error) == (state, error)


@pytest.mark.parametrize("end", ["completed", "failed for now", "failed", "stopped"])
async def test_what_a_lost_worker_adopted_and_ended_does_not_wait_again_for_a_legacy_worker(
    end, database, transitions, new_lease, dead_here, new_duties, new_reaper, redis_engine, queue, new_bench, start_of
):  # fmt: skip
    """Its payload, which a legacy producer pushed, names no epoch."""
    bench, tasks = await new_bench(), ForeignTasks(database)
    await new_lease(bench.worker_id, backend="redis", lock_key=12, **dead_here)
    for task, group in (("over", "g"), ("unclaimed", "h"), ("unknown", "i")):
        await queue.rpush(
            f"queue:group:{group}", json.dumps({"task_id": task, "task_type": "probe", "group_id": group})
        )
        await queue.sadd("queue:active_groups", group)
        await bench.next()
        if task != "unknown":
            assert await tasks.adopt(task, group, "probe", {"group_id": group})
    claim = await transitions.claim("over", "redis", None, bench.worker_id, with_payload=False)
    match end:
        case "completed":
            await transitions.complete("over", claim.attempt)
        case "failed for now" | "failed":
            await transitions.fail("over", claim.attempt, "no luck", final=end == "failed", engine_retries=False)
        case _:
            await transitions.stop("over")
    await bench.kill()
    await new_reaper().tick()
    duties = new_duties(redis_engine)
    await duties.settle("redis", "requeue")
    assert await duties.settle("redis", "release") == 1
    assert [await queue.llen(f"queue:group:{group}") for group in "ghi"] == [0, 1, 1]
    assert await queue.keys("taskgate:processing:*") == []


async def test_what_was_given_back_and_adopted_anew_waits_again_when_its_worker_is_lost(
    database, new_lease, dead_here, new_duties, new_reaper, redis_engine, queue, new_bench, new_task
):  # fmt: skip
    """Its payload names no epoch, and its start is not the first one."""
    bench, task = await new_bench(), await new_task()
    await database.execute("UPDATE task_logs SET created_at = now() - interval '1 hour'")
    await release(database, None, by="ada")
    await new_lease(bench.worker_id, backend="redis", lock_key=12, **dead_here)
    await queue.rpush("queue:group:g", json.dumps({"task_id": task, "task_type": "probe", "group_id": "g"}))
    await queue.sadd("queue:active_groups", "g")
    await bench.next()
    assert await ForeignTasks(database).adopt(task, "g", "probe", {"content": "x"})
    await bench.kill()
    await new_reaper().tick()
    assert await new_duties(redis_engine).settle("redis", "release") == 1
    assert await queue.llen("queue:group:g") == 1
