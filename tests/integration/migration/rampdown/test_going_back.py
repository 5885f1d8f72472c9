"""The stage goes back: what was started on Temporal meanwhile, and nobody has begun there, goes back too."""

from __future__ import annotations

import pytest

from gateway.routing.stages import Stage


async def moved(move, task_id: str, **columns) -> str:
    """A task that was started on Temporal while the stage was `rampdown`."""
    values = {"backend": "temporal", "stage": "rampdown", "epoch": 2, **columns}
    return await move.hold(task_id, pushed=False, **values)


@pytest.mark.parametrize("stage", [Stage.OFF, Stage.DUALWRITE, Stage.SHADOW])
async def test_what_waits_there_goes_back(move, stage):
    await moved(move, "a")
    move.put(stage)
    await move.leader().tick()
    row = await move.database.fetchrow(
        "SELECT state, backend, epoch, due_at = created_at AS keeps FROM taskgate.dispatch"
    )
    assert tuple(row) == ("waiting", "redis", 2, True)
    duties = await move.database.fetch("SELECT kind, backend, subject, epoch FROM taskgate.engine_duty")
    assert [tuple(duty) for duty in duties] == [("cancel", "temporal", "a", 2)]
    assert move.told


@pytest.mark.parametrize("stage", [Stage.LIVE, Stage.RAMPDOWN, Stage.COMPLETE])
async def test_on_the_way_forward_it_stays(move, stage):
    await moved(move, "a")
    move.put(stage)
    await move.run()
    assert await move.states() == {"a": "queued temporal"}


@pytest.mark.parametrize("began_at", ["live", "complete"])
async def test_what_was_started_at_another_stage_ends_where_it_is(move, began_at):
    await moved(move, "a", stage=began_at)
    move.put(Stage.OFF)
    await move.run()
    assert await move.states() == {"a": "queued temporal"}


async def test_what_a_worker_has_claimed_ends_there(move):
    await moved(move, "a", state="running", attempt=1, worker_id="w1")
    move.put(Stage.OFF)
    await move.run()
    assert await move.states() == {"a": "running temporal"}


async def test_nobody_claims_it_under_the_old_start(move, transitions, new_worker):
    await new_worker("w1")
    await moved(move, "a")
    move.put(Stage.OFF)
    await move.leader().tick()
    assert await transitions.claim("a", "temporal", 2, "w1", with_payload=False) is None


async def test_what_is_repeated_there_ends_there(move, new_worker):
    """It has begun on Temporal; a legacy worker would know nothing of its attempts."""
    await new_worker("w1")
    await moved(move, "a", failures=1, attempt=1)
    await move.database.execute(
        "INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, outcome)"
        " VALUES ('a', 1, 2, 'temporal', 'w1', 'failed')"
    )
    move.put(Stage.OFF)
    await move.run()
    assert await move.states() == {"a": "queued temporal"}


async def test_a_repetition_that_has_not_begun_there_goes_back(move, new_worker):
    """It failed on Redis, and was started on Temporal to be repeated."""
    await new_worker("w1")
    await moved(move, "a", failures=1, attempt=1)
    await move.database.execute(
        "INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, outcome)"
        " VALUES ('a', 1, 1, 'redis', 'w1', 'failed')"
    )
    move.put(Stage.OFF)
    await move.leader().tick()
    assert await move.states() == {"a": "waiting redis"}


async def test_redis_down_everything_stays_on_temporal(move):
    await moved(move, "a")
    move.put(Stage.OFF)
    move.down.add("redis")
    await move.run()
    assert await move.states() == {"a": "queued temporal"}


async def test_back_in_mid_move_leaves_the_rest_in_redis(move):
    """The part that had moved comes back; nothing is on two engines."""
    for number in range(150):
        await move.hold(f"t{number}")
    move.put(Stage.RAMPDOWN)
    leader = move.leader()
    await leader.look()
    await move.start_waiting()
    move.put(Stage.OFF)
    await move.leader().look()
    states = list((await move.states()).values())
    assert (states.count("waiting redis"), states.count("queued redis")) == (100, 50)
    assert len(await move.in_redis()) == 50
