"""A tenant at `shadow`, on real servers: its tasks run on Redis, and probes go to its queue on Temporal."""

from __future__ import annotations

import asyncio
from typing import Any

from contracts import rehearsing
from contracts.world import PATIENCE
from gateway.routing.stages import Stage
from workers.testing.waiting import eventually

HANDLERS = "contracts.probes,contracts.rehearsing"
ALL = {"rehearsal_probe_percent": 100.0, "rehearsal_probes_per_second": 100.0, "handlers": HANDLERS}


async def probed(world: Any, home: Any, good: int) -> dict[str, Any]:
    """The summary once so many probes were good."""
    found = await eventually(
        lambda: world.summary(home), lambda found: found["probes"]["good"] >= good, within=PATIENCE
    )
    return dict(found)


async def test_from_submit_to_comparison(new_world):
    rehearsing.RUNS.clear()
    world = await new_world("shadow", types=["rehearse_good"], **ALL)
    home = await world.people.household()
    tasks = [await world.submit(home, type="rehearse_good") for _ in range(3)]
    for task in tasks:
        assert (await world.ended(task))["status"] == "COMPLETED"
    one = await probed(world, home, 3)
    assert (one["stage"], one["verdict"], one["ready"]) == ("shadow", "ready", 3), one
    assert (one["probes"]["rehearsed"], one["probes"]["queue"]["tasks"]) == (3, 3)
    assert one["probes"]["redis_queue"]["median"] >= 0
    answer = await world.read(home, "/gateway/v1/migration/rehearsal/probes")
    assert {probe["task_id"] for probe in answer["probes"]} == set(tasks)
    assert sorted(rehearsing.RUNS) == sorted(tasks), "each ran once"
    runs = await world.database.fetch("SELECT task_id, backend FROM taskgate.attempt")
    assert sorted((row["task_id"], row["backend"]) for row in runs) == sorted((task, "redis") for task in tasks)
    assert await world.database.fetchval("SELECT count(*) FROM task_logs") == 3


async def test_workers_die_in_mid_probe_and_the_tenant_does_not_notice(new_world):
    rehearsing.BEGAN.clear()
    world = await new_world("shadow", types=["rehearse_waits"], **ALL)
    worker = next(one for one in world._workers if one._backend == "temporal")
    worker._rehearsing._limit = 60.0
    home = await world.people.household()
    task = await world.submit(home, type="rehearse_waits")
    assert (await world.ended(task))["status"] == "COMPLETED"
    assert await asyncio.to_thread(rehearsing.BEGAN.wait, PATIENCE)
    worker.stopping.set()
    one = await eventually(lambda: world.summary(home), lambda found: found["probes"]["unanswered"], within=PATIENCE)
    assert [why["code"] for why in one["probes"]["reasons"]] == ["worker_stopped"]
    assert one["verdict"] == "ready"


async def test_a_flip_to_live_and_back_in_mid_probe(new_world):
    """The task's own start has its own id: it does not meet the probe."""
    rehearsing.RUNS.clear()
    world = await new_world("shadow", types=["rehearse_good"], **ALL)
    home = await world.people.household()
    first = await world.submit(home, type="rehearse_good")
    await world.flag.set(Stage.LIVE)
    second = await world.submit(home, type="rehearse_good")
    await world.flag.set(Stage.SHADOW)
    third = await world.submit(home, type="rehearse_good")
    for task in (first, second, third):
        assert (await world.ended(task))["status"] == "COMPLETED"
    await probed(world, home, 1)
    assert sorted(rehearsing.RUNS) == sorted([first, second, third])
    backends = dict(await world.database.fetch("SELECT task_id, backend FROM taskgate.attempt"))
    assert backends == {first: "redis", second: "temporal", third: "redis"}
