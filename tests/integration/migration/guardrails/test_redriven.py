"""What failed on Redis and is redriven after the move says nothing against Temporal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.migration.guardrails.guard import Phase
from gateway.migration.parity.recorder import Recorder
from gateway.routing.stages import Stage
from gateway.tasks.lifecycle.transitions import Transitions

Rails = Any
#: Enough for a verdict, if each of them were counted as a failure.
LETTERS = 30


@pytest.fixture
async def letters(rails: Rails, new_task: Any, new_worker: Any, transitions: Transitions) -> list[str]:
    """Tasks that died on Redis yesterday, after two runs each."""
    await new_worker()
    tasks = []
    for _ in range(LETTERS):
        task_id = await new_task(tenant_id="acme")
        for attempt, final in ((1, False), (2, True)):
            await transitions.claim(task_id, "redis", 1, "w1", with_payload=False)
            await transitions.fail(task_id, attempt, "no", final=final, engine_retries=True)
        tasks.append(task_id)
    await rails.database.execute("UPDATE taskgate.attempt SET ended_at = now() - interval '25 hours'")
    await rails.database.execute("UPDATE taskgate.uncounted_death SET at = now() - interval '25 hours'")
    await Recorder(rails.database).tick()
    return tasks


@pytest.fixture
def redrive(rails: Rails, transitions: Transitions) -> Callable[[list[str], str], Awaitable[None]]:
    """All of them run once more, on Temporal, and end like this."""

    async def run(tasks: list[str], end: str) -> None:
        for task_id in tasks:
            await transitions.retry(task_id)
            await rails.database.execute(
                "UPDATE taskgate.dispatch SET state = 'queued', backend = 'temporal' WHERE task_id = $1", task_id
            )
            await transitions.claim(task_id, "temporal", 1, "w1", with_payload=False)
            if end == "completed":
                assert await transitions.complete(task_id, 3)
            else:
                assert await transitions.fail(task_id, 3, "no", final=True, engine_retries=False)
        await Recorder(rails.database).tick()

    return run


@pytest.mark.parametrize("end", ["completed", "died again"])
async def test_redriving_dead_letters_of_redis_takes_nobody_back(
    rails: Rails, letters: list[str], redrive: Callable[[list[str], str], Awaitable[None]], end: str
) -> None:
    await rails.set("default", dead_letters_per_minute=5)
    await rails.ran_on_redis(1000, 10, task_type="probe")
    await rails.put(Stage.LIVE, task_type="probe")
    leader = await rails.begin_term()
    await leader.tick()
    await redrive(letters, end)
    await leader.tick()
    assert await rails.overrides() == []
    guard = await rails.guard()
    assert guard.phase is Phase.ARMED
    # A limit says how many died, whatever they did before.
    told = [one.why for one in guard.concerns.values()]
    assert told == ([] if end == "completed" else [f"{LETTERS} dead letters in the last minute (limit 5)"])
