"""A quota of running tasks: what is over it waits in the gateway, and goes on when a slot is free."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import NotFound

HELD = "quota:running"


async def limit(world: Any, running: int | None, project: str = "", **limits: int) -> None:
    numbers = {"queued": None, "per_minute": None, "bytes_per_day": None, **limits}
    await world.gateway.quotas.set("initech", project, running=running, **numbers, by="root", why=None)


async def test_no_more_than_so_many_are_on_the_engine(world):
    await limit(world, 2)
    await world.submit(5)
    assert (await world.count(state="queued"), await world.count(state="waiting", held=HELD)) == (2, 3)
    assert len(world.engine.starts) == 2
    done: set[str] = set()
    while len(done) < 5:
        rows = await world.rows()
        task = next(name for name, row in rows.items() if row["state"] == "queued")
        await world.run(task)
        done.add(task)
        open_now = sum(row["state"] in ("starting", "queued", "running") for row in (await world.rows()).values())
        assert open_now == min(2, 5 - len(done))
    assert len(world.engine.starts) == 5


async def test_the_urgent_take_the_next_slot(world):
    await limit(world, 1)
    [first] = await world.submit()
    await world.submit(2)
    [urgent] = await world.submit(priority=1)
    await world.run(first)
    assert (await world.rows())[urgent]["state"] == "queued"


async def test_a_failed_attempt_and_a_stop_free_their_slots(world):
    await limit(world, 1)
    first, *_ = await world.submit(3)
    claim = await world.claim(first)
    await world.gateway.transitions.fail(first, claim.attempt, "boom", final=True, engine_retries=True)
    await world.step()
    assert (await world.count(state="queued"), await world.count(held=HELD)) == (1, 1)
    [second] = [name for name, row in (await world.rows()).items() if row["state"] == "queued"]
    await world.gateway.transitions.stop(second)
    await world.step()
    assert (await world.count(state="queued"), await world.count(held=HELD)) == (1, 0)


async def test_a_project_at_its_limit_does_not_stop_the_others(world):
    await limit(world, 1, "p1")
    of_project = await world.submit(2, project="p1")
    await world.submit(2, project="p2")
    assert (await world.count(state="queued"), await world.count(held="quota:running:project")) == (3, 1)
    await world.run(of_project[0])
    assert (await world.rows())[of_project[1]]["state"] == "queued"


async def test_a_quota_below_what_runs_drops_nothing(world):
    tasks = await world.submit(3)
    await limit(world, 1)
    await world.submit(1)
    assert (await world.count(state="queued"), await world.count(held=HELD)) == (3, 1)
    for task in tasks[:2]:
        await world.run(task)
    await world.run(tasks[2])
    assert (await world.count(state="completed"), await world.count(state="queued")) == (3, 1)


async def test_a_larger_quota_and_none_let_go(world):
    await limit(world, 0)
    await world.submit(4)
    assert await world.count(held=HELD) == 4
    await limit(world, 3)
    await world.gateway.task_limits.settle()
    await world.step()
    assert (await world.count(state="queued"), await world.count(held=HELD)) == (3, 1)
    await world.gateway.quotas.clear("initech", "", by="root", why=None)
    await world.step()
    assert await world.count(state="queued") == 4
    with pytest.raises(NotFound):
        await world.gateway.quotas.clear("initech", "", by="root", why=None)


async def test_other_tenants_are_not_concerned(world):
    await limit(world, 0)
    await world.submit(3)
    [other] = await world.submit(tenant="umbrella")
    assert (await world.rows())[other]["state"] == "queued"
