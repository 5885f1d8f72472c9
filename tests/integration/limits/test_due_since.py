"""Since when a task could have started: what was held, or asked for anew, was not late before that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.dead_letters.filter import SQL as DEAD_LETTERS_SQL
from gateway.fleet.signals import SQL as SIGNALS_SQL
from gateway.observability.tally import SQL as TALLY_SQL
from gateway.tasks.lifecycle.run_time import set_run_time

LONG_AGO = (
    "UPDATE taskgate.dispatch SET created_at = created_at - interval '1 hour', due_at = due_at - interval '1 hour'"
    " WHERE task_id = $1"
)


async def limit(world: Any, running: int) -> None:
    numbers = {"queued": None, "per_minute": None, "bytes_per_day": None}
    await world.gateway.quotas.set("initech", "", running=running, **numbers, by="root", why=None)


async def waited(world: Any, task_id: str) -> tuple[float, float]:
    """Of its first run, as metrics count it: until it began, and until its engine had it (seconds)."""
    assert await world.claim(task_id) is not None
    now = datetime.now(UTC)
    rows = await world.database.fetch(TALLY_SQL.began, now - timedelta(minutes=1), now + timedelta(minutes=1))
    [row] = [row for row in rows if row["wait"] is not None]
    return row["wait"], row["dispatch"]


async def oldest(world: Any) -> float:
    """The longest wait of the backlog (seconds)."""
    return max(row["oldest_seconds"] or 0.0 for row in await world.database.fetch(SIGNALS_SQL.load))


async def resume(world: Any, pause_id: str) -> None:
    await world.gateway.pauses.remove(pause_id, by="root", why=None)


@pytest.mark.parametrize("freed_by", ["an end", "a larger quota", "no quota"])
async def test_the_time_in_which_a_quota_held_it_is_nobodys(world, freed_by):
    await limit(world, 1)
    first, second = await world.submit(2)
    await world.database.execute(LONG_AGO, second)
    if freed_by == "an end":
        # Ended and counted long ago.
        await world.run(first)
        await world.database.execute("UPDATE taskgate.dispatch SET attempt = 2 WHERE task_id = $1", first)
    elif freed_by == "a larger quota":
        await limit(world, 2)
    else:
        await world.gateway.quotas.clear("initech", "", by="root", why=None)
    await world.gateway.task_limits.settle()
    assert await oldest(world) < 60
    await world.step()
    assert max(await waited(world, second)) < 60


async def test_the_time_in_which_a_pause_held_it_is_nobodys(world):
    paused, _ = await world.gateway.pauses.add("initech", None, None, by="root", why="test")
    [task] = await world.submit()
    await world.database.execute(LONG_AGO, task)
    await resume(world, paused.pause_id)
    await world.gateway.task_limits.settle()
    assert await oldest(world) < 60
    await world.step()
    assert max(await waited(world, task)) < 60


async def test_what_nobody_held_has_waited_since_it_came(world):
    await limit(world, 5)
    [task] = await world.submit()
    await world.database.execute(LONG_AGO, task)
    assert min(await waited(world, task)) > 3500


async def test_whoever_asks_for_it_now_has_waited_since_then(world):
    [task] = await world.submit()
    await world.gateway.transitions.stop(task)
    await world.database.execute(LONG_AGO, task)
    await world.gateway.transitions.retry(task)
    assert await oldest(world) < 60
    later = datetime.now(UTC) + timedelta(hours=1)
    await world.database.execute(LONG_AGO, task)
    assert await set_run_time(world.database, task, later) == later
    await set_run_time(world.database, task, None)
    assert await oldest(world) < 60
    await world.step()
    assert max(await waited(world, task)) < 60


async def test_a_redrive_begins_a_new_wait(world):
    [task] = await world.submit()
    claim = await world.claim(task)
    await world.gateway.transitions.fail(task, claim.attempt, "boom", final=True, engine_retries=True)
    await world.database.execute(LONG_AGO, task)
    [row] = await world.database.fetch(DEAD_LETTERS_SQL.redrive, [task], [0.0], None)
    assert row["task_id"] == task
    assert await oldest(world) < 60


async def test_a_repetition_waits_since_it_was_due(world):
    [task] = await world.submit()
    claim = await world.claim(task)
    await world.gateway.transitions.fail(task, claim.attempt, "boom", final=False, engine_retries=False)
    await world.database.execute(LONG_AGO, task)
    await world.database.execute("UPDATE taskgate.dispatch SET due_at = now() - interval '1 minute'")
    assert 59 < await oldest(world) < 300
