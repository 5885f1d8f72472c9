"""A move that is cut short, anywhere and by anything, is finished by whoever leads next; nothing is lost or doubled."""

from __future__ import annotations

import asyncio

import pytest

from backends.port import WorkflowRef
from gateway.recovery import engine_check
from gateway.recovery.engine_check import EngineCheck
from gateway.recovery.fenced_database import FencedDatabase, LeadershipLost
from gateway.routing.query import Scope
from gateway.routing.stages import Stage

STEPS = ("before_withdraw", "after_withdraw", "after_rewait")


@pytest.mark.parametrize("step", STEPS)
async def test_the_next_leader_goes_on(move, die_at, step):
    tasks = {await move.hold(f"t{number}", group=f"g{number % 3}") for number in range(130)}
    move.put(Stage.RAMPDOWN)
    with die_at(step):
        await move.leader().tick()
    assert len(await move.in_redis()) == (130 if step == "before_withdraw" else 30)
    await move.run()
    assert sorted(move.started) == sorted(tasks)
    assert await move.in_redis() == set()
    epochs = await move.database.fetch("SELECT DISTINCT epoch FROM taskgate.dispatch")
    assert epochs == [(2,)]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("stage", [Stage.OFF, Stage.LIVE, Stage.COMPLETE])
async def test_the_stage_changes_while_nobody_leads(move, die_at, changes, monkeypatch, step, stage):
    """What Redis has given back, and no row says so, is found like anything that an engine lost."""
    monkeypatch.setattr(engine_check, "UNFENCED_SILENT_SECONDS", 0.0)
    monkeypatch.setattr(engine_check, "FULL_EVERY", 6)
    await move.hold("a")
    move.put(Stage.RAMPDOWN)
    with die_at(step):
        await move.leader().tick()
    move.put(stage)
    await move.run()
    check = EngineCheck(move.database, move.redis, changes, is_down=lambda _: False, wake=lambda: None)
    for _ in range(6):
        await check.check_open()
    await move.start_waiting()
    expected = {"a": "queued redis"} if step == "before_withdraw" else {"a": "queued temporal"}
    assert await move.states() == expected
    assert await move.in_redis() == ({"a"} if step == "before_withdraw" else set())


async def test_a_leader_that_is_none_any_more_writes_nothing(move):
    """It may have asked Redis; what it was given back is the next leader's."""
    await move.hold("a")
    move.put(Stage.RAMPDOWN)
    with pytest.raises(LeadershipLost):
        await move.leader(database=FencedDatabase(move.database)).tick()
    assert await move.states() == {"a": "queued redis"}
    await move.run()
    assert move.started == ["a"]


async def test_a_stop_in_mid_move_is_a_stop(move, die_at, transitions):
    await move.hold("a")
    move.put(Stage.RAMPDOWN)
    with die_at("after_withdraw"):
        await move.leader().tick()
    await transitions.stop("a")
    await move.run()
    assert await move.states() == {"a": "stopped redis"}
    assert await move.redis.cancel_workflow(WorkflowRef("a", 1, "g", "probe"), "stopped") is False


async def test_redis_away_in_mid_move_and_back(move, distant_redis, redis_proxy):
    for number in range(150):
        await move.hold(f"t{number}")
    move.put(Stage.RAMPDOWN)
    leader = move.leader(distant_redis)
    await leader.look()
    await move.start_waiting()
    await redis_proxy.refuse()
    await asyncio.wait_for(leader.tick(), 10)
    assert len(move.started) == 100
    assert len(await move.in_redis()) == 50
    await redis_proxy.restore()
    await asyncio.sleep(0)
    leader = move.leader(distant_redis)
    await move.run(leader)
    assert len(move.started) == 150
    assert await move.in_redis() == set()


async def test_an_answer_of_redis_is_lost(move, distant_redis, redis_proxy):
    """It gave them back, and the leader does not know: asked again, it says so."""
    await move.hold("a")
    move.put(Stage.RAMPDOWN)
    await distant_redis.check_health()
    redis_proxy.swallow_answers()
    await asyncio.wait_for(move.leader(distant_redis).tick(), 20)
    assert await move.states() == {"a": "queued redis"}
    await redis_proxy.restore()
    await move.run(move.leader(distant_redis))
    assert move.started == ["a"]
    assert await move.in_redis() == set()


async def test_temporal_away_nothing_leaves_redis(move):
    await move.hold("a")
    move.put(Stage.RAMPDOWN)
    move.down.add("temporal")
    await move.run()
    assert await move.states() == {"a": "queued redis"}
    assert await move.in_redis() == {"a"}
    move.down.clear()
    await move.run()
    assert move.started == ["a"]


async def test_an_override_in_mid_move_holds_the_rest(move):
    for number in range(150):
        await move.hold(f"t{number}")
    move.put(Stage.RAMPDOWN)
    leader = move.leader()
    await leader.look()
    move.overrides.put(Scope("acme"), Stage.LIVE)
    await move.run(leader)
    assert len(await move.in_redis()) == 50
    assert len(move.started) == 100


async def test_an_override_alone_moves(move):
    await move.hold("a")
    move.overrides.put(Scope("acme"), Stage.RAMPDOWN)
    await move.run()
    assert move.started == ["a"]
