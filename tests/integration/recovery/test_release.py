"""The gateway is taken out while engines are still owed something."""

from __future__ import annotations

import gc
import json
import tracemalloc

import pytest

from backends.errors import StartRefused
from backends.redis_queue.engine import RedisQueueEngine
from gateway.tasks.lifecycle import release as releasing
from gateway.tasks.lifecycle.release import plan_release, release


async def test_what_legacy_workers_run_from_now_on_is_not_put_back_as_well(
    database, transitions, new_task, new_lease, dead_here, new_reaper
):
    """A gateway that comes again finds nothing to take back: the rows are the legacy system's."""
    task, stopped = await new_task(), await new_task()
    await new_lease("w1", backend="redis", **dead_here)
    assert await transitions.claim(task, "redis", 1, "w1", with_payload=False)
    await new_reaper().tick()
    await transitions.stop(stopped)
    done = await release(database, None, by="ada")
    assert done.rows == 1
    assert done.left == {("redis", "stopped, but still there"): 1}
    assert await database.fetchval("SELECT array_agg(kind) FROM taskgate.engine_duty") == ["cancel"]
    assert await database.fetchval("SELECT status FROM task_logs WHERE id = $1", task) == "PENDING"


async def test_payloads_are_held_one_at_a_time(database, redis_engine, queue, new_task, monkeypatch):
    """200 of 500 kB, in none of Redis's lists, on several pages."""
    monkeypatch.setattr(releasing, "PAGE", 90)
    tasks = [await new_task() for _ in range(200)]
    await database.execute(
        "UPDATE task_logs SET payload = jsonb_set(payload::jsonb, '{content}', to_jsonb(repeat('x', 500000)))::json"
    )
    gc.collect()
    tracemalloc.start()
    try:
        done = await release(database, redis_engine, by="ada")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (done.rows, done.pushed, done.left) == (len(tasks), len(tasks), {})
    assert await queue.llen("queue:group:g") == len(tasks)
    assert peak < 20_000_000
    audit = "SELECT array_agg((evidence->>'tasks')::int) FROM taskgate.ledger WHERE kind = 'release'"
    assert await database.fetchval(audit) == [len(tasks)]


@pytest.mark.parametrize("payload", ['{"content": "\\ud800"}', None, "[1]"], ids=["surrogate", "null", "list"])
async def test_a_payload_that_is_odd_keeps_none_from_its_queue(database, redis_engine, queue, new_task, payload):
    tasks = sorted([await new_task() for _ in range(3)])
    await database.execute("UPDATE task_logs SET payload = $2::json WHERE id = $1", tasks[1], payload)
    done = await release(database, redis_engine, by="ada")
    assert (done.rows, done.pushed, done.left) == (3, 3, {})
    pushed = {one["task_id"]: one for one in map(json.loads, await queue.lrange("queue:group:g", 0, -1))}
    assert sorted(pushed) == tasks
    assert pushed[tasks[1]].get("content") == ("\ud800" if payload and "content" in payload else None)


async def test_an_integer_beyond_64_bits_is_given_back_as_it_was(database, redis_engine, queue, new_task):
    await new_task()
    await database.execute("UPDATE task_logs SET payload = $1::json", '{"n": 18446744073709551617}')
    await release(database, redis_engine, by="ada")
    assert b'"n": 18446744073709551617,' in await queue.lindex("queue:group:g", 0)


class RefusesOne(RedisQueueEngine):
    refused = ""

    async def start_workflow(self, start):
        if start.ref.task_id == self.refused:
            raise StartRefused(f"the payload of task {self.refused} cannot be written as JSON")
        await super().start_workflow(start)


async def test_a_task_that_redis_refuses_keeps_no_other_from_its_queue(database, redis_server, queue, new_task):
    """Its row is the legacy system's all the same."""
    tasks = sorted([await new_task() for _ in range(3)])
    engine = RefusesOne(redis_server, timeout=5)
    engine.refused = tasks[1]
    try:
        done = await release(database, engine, by="ada")
    finally:
        await engine.close()
    assert (done.rows, done.pushed, done.left) == (3, 2, {})
    assert await queue.llen("queue:group:g") == 2
    assert await database.fetchval("SELECT status FROM task_logs WHERE id = $1", tasks[1]) == "PENDING"


async def test_what_must_not_start_is_not_given_back(database, redis_engine, queue, new_task, log_row):
    """A task that a person has to decide about after a restore, an approval that waits for its answer, a DAG run."""
    held, approval, run, other = [await new_task(state="waiting", backend=None) for _ in range(4)]
    await database.execute("UPDATE taskgate.dispatch SET held = 'recovery' WHERE task_id = $1", held)
    await database.execute(
        "UPDATE taskgate.dispatch SET dag_run_id = $2, held = 'approval' WHERE task_id = $1", approval, run
    )
    await database.execute("UPDATE taskgate.dispatch SET dag_run_id = task_id WHERE task_id = $1", run)
    plan = await plan_release(database, 15.0)
    assert (plan.rows, plan.left) == (1, {("redis", "waiting"): 4})
    done = await release(database, redis_engine, by="ada")
    assert (done.rows, done.pushed, done.left) == (1, 1, {("redis", "waiting"): 3})
    assert [json.loads(payload)["task_id"] for payload in await queue.lrange("queue:group:g", 0, -1)] == [other]
    assert [(await log_row(task))["status"] for task in (held, approval, run, other)] == [
        *["PROCESSING"] * 3,
        "PENDING",
    ]
