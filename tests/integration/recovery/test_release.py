"""The gateway is taken out while engines are still owed something."""

from __future__ import annotations

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
