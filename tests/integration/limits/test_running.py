"""A quota of running tasks: what is over it waits in the gateway, and goes on when a slot is free."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.errors import NotFound
from gateway.tasks.lifecycle.run_time import set_run_time

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


@pytest.mark.parametrize("freed_by", ["an end", "no quota", "a larger quota"])
async def test_one_that_waits_for_a_slot_is_put_off(world, freed_by):
    """A slot that becomes free does not bring it forward; when its time has come, it needs a slot as before."""
    await limit(world, 1)
    first, second = await world.submit(2)
    assert (await world.rows())[second]["held"] == HELD
    later = datetime.now(UTC) + timedelta(hours=1)
    assert await set_run_time(world.database, second, later) == later
    if freed_by == "an end":
        await world.run(first)
    elif freed_by == "no quota":
        await world.gateway.quotas.clear("initech", "", by="root", why=None)
    else:
        await limit(world, 2)
    await world.gateway.task_limits.settle()
    await world.step()
    row = (await world.rows())[second]
    assert (row["state"], row["due_at"], row["not_before"]) == ("waiting", later, later)
    await set_run_time(world.database, second, None)
    await world.step()
    assert (await world.rows())[second]["state"] == "queued"


async def test_one_that_is_asked_for_now_still_waits_for_a_slot(world):
    await limit(world, 1)
    first, second = await world.submit(2)
    await set_run_time(world.database, second, None)
    await world.step()
    assert (await world.rows())[second]["held"] == HELD
    await world.run(first)
    assert (await world.rows())[second]["state"] == "queued"


@pytest.mark.parametrize("project", ["", "p1"])
async def test_what_an_earlier_version_left_held_keeps_its_time(world, project):
    """Held, and put off nevertheless: a quota that goes, or grows, does not start it."""
    await limit(world, 0, project)
    [task] = await world.submit(project=project or None)
    await world.database.execute(
        "UPDATE taskgate.dispatch SET not_before = now() + interval '1 hour', due_at = now() + interval '1 hour'"
    )
    await limit(world, 1, project)
    await world.gateway.task_limits.settle()
    await world.step()
    row = (await world.rows())[task]
    assert (row["state"], row["held"], row["due_at"]) == ("waiting", None, row["not_before"])
    await world.database.execute("UPDATE taskgate.dispatch SET held = 'quota:running'")
    await world.gateway.quotas.clear("initech", project, by="root", why=None)
    await world.step()
    row = (await world.rows())[task]
    assert (row["state"], row["held"], row["due_at"]) == ("waiting", None, row["not_before"])
