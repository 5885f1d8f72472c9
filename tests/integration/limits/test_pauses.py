"""Pauses: accepted, waiting, nothing new starts; live at once in both directions."""

from __future__ import annotations

from typing import Any

import pytest

from workers.claims import HELD_PAUSE
from workers.outcome import Assignment, Refused
from workers.runner import Runner


async def pause(world: Any, tenant: str | None = None, project: str | None = None, task_type: str | None = None) -> str:
    added, _ = await world.gateway.pauses.add(tenant, project, task_type, by="root", why="test")
    return str(added.pause_id)


async def resume(world: Any, pause_id: str) -> None:
    await world.gateway.pauses.remove(pause_id, by="root", why=None)
    await world.step()


@pytest.mark.parametrize(
    "scope",
    [
        {"tenant": "initech"},
        {"project": "p1"},
        {"task_type": "add_episode"},
        {"tenant": "initech", "task_type": "add_episode"},
    ],
)
async def test_nothing_new_starts_until_it_is_resumed(world, scope):
    pause_id = await pause(world, **scope)
    await world.submit(2, project="p1")
    [other] = await world.submit(tenant="umbrella", project="p2", task_type="deduplicate_entities")
    assert await world.count(state="waiting", held=f"paused:{pause_id}") == 2
    assert [start.ref.task_id for start in world.engine.starts] == [other]
    await resume(world, pause_id)
    assert await world.count(state="queued") == 3


async def test_what_is_queued_comes_back_and_what_runs_goes_on(world):
    running, *queued = await world.submit(3)
    claim = await world.claim(running)
    pause_id = await pause(world, "initech")
    assert await world.count(state="waiting", held=f"paused:{pause_id}") == 2
    assert await world.gateway.duties.settle("temporal", "cancel") == 2
    assert await world.gateway.transitions.complete(running, claim.attempt)
    await world.step()
    assert len(world.engine.starts) == 3
    await resume(world, pause_id)
    rows = await world.rows()
    assert [(rows[task]["state"], rows[task]["epoch"]) for task in queued] == [("queued", 2)] * 2
    for task in queued:
        await world.run(task)


async def test_a_claim_is_refused_for_now(world):
    """As on an engine from which nothing is called back: the worker asks again, and the task is not lost."""
    [task] = await world.submit()
    await world.database.execute("INSERT INTO taskgate.pause VALUES ('x', 'initech', NULL, NULL, 'test', 'root')")
    assert await world.claim(task) is None
    runner = Runner(world.gateway.transitions, None, None, None, lambda: "w1", engine_retries=True)  # type: ignore[arg-type]
    outcome = await runner.run(Assignment(task, "temporal", 1, None, "add_episode", "g0"))
    assert outcome == Refused("it is paused", retry_in=HELD_PAUSE)
    await world.database.execute("DELETE FROM taskgate.pause")
    assert await world.claim(task) is not None


async def test_two_pauses_hold_until_both_are_over(world):
    one, two = await pause(world, "initech"), await pause(world, task_type="add_episode")
    await world.submit()
    await resume(world, one)
    assert await world.count(state="waiting", held=f"paused:{two}") == 1
    await resume(world, two)
    assert await world.count(state="queued") == 1


async def test_a_repetition_keeps_its_time(world):
    [task] = await world.submit()
    claim = await world.claim(task)
    await world.gateway.transitions.fail(task, claim.attempt, "boom", final=False, engine_retries=True)
    before = (await world.rows())[task]["due_at"]
    pause_id = await pause(world, "initech")
    row = (await world.rows())[task]
    assert (row["state"], row["held"], row["due_at"]) == ("waiting", f"paused:{pause_id}", before)


async def test_a_stopped_task_is_not_held_any_more(world):
    await pause(world, "initech")
    [task] = await world.submit()
    await world.gateway.transitions.stop(task)
    row = (await world.rows())[task]
    assert (row["state"], row["held"]) == ("stopped", None)
