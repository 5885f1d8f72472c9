"""The gateway is taken out while engines are still owed something."""

from __future__ import annotations

import gc
import tracemalloc

from gateway.tasks.lifecycle import release as releasing
from gateway.tasks.lifecycle.release import release


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
