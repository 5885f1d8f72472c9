"""What Redis holds and nobody has begun moves, in its order; everything else stays."""

from __future__ import annotations

import json

import pytest

from gateway.migration.rampdown import rampdown
from gateway.recovery.reconciler import Reconciler
from gateway.routing.query import Scope
from gateway.routing.stages import Stage


async def test_all_that_waits_moves(move):
    tasks = {await move.hold(f"t{number}", group=f"g{number % 3}") for number in range(250)}
    await move.hold("other", tenant_id="globex", group="theirs")
    move.put(Stage.RAMPDOWN)
    await move.run()
    assert await move.in_redis() == {"other"}
    assert sorted(move.started) == sorted(tasks)
    assert await move.states() == {**dict.fromkeys(tasks, "queued temporal"), "other": "queued redis"}


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.RAMPDOWN])
async def test_at_another_stage_nothing_moves(move, stage):
    await move.hold("a")
    move.put(stage)
    move.put(Stage.RAMPDOWN, tenant="globex")
    await move.run()
    assert await move.states() == {"a": "queued redis"}
    assert await move.in_redis() == {"a"}


async def test_the_order_is_kept(move):
    """By priority, then as they were created; what was delayed counts from its time."""
    for task_id, more in (("c", {}), ("a", {}), ("b", {"priority": 1}), ("d", {"priority": 5})):
        await move.hold(task_id, group=f"g-{task_id}", **more)
    await move.hold(
        "e",
        not_before=await move.database.fetchval(
            "SELECT created_at + interval '0.5 s' FROM taskgate.dispatch WHERE task_id = 'a'"
        ),
    )
    move.put(Stage.RAMPDOWN)
    await move.leader().look()
    await move.start_waiting()
    assert move.started == ["b", "a", "e", "c", "d"]


async def test_a_crowd_moves_in_its_order(move):
    tasks = [await move.hold(f"{chr(97 + number % 26)}{number:03}") for number in range(230)]
    created = await move.database.fetch("SELECT task_id FROM taskgate.dispatch ORDER BY created_at, task_id")
    move.put(Stage.RAMPDOWN)
    leader = move.leader()
    for _ in range(4):
        await leader.look()
        await move.start_waiting()
    assert sorted(move.started) == sorted(tasks)
    assert [move.started[first : first + 100] for first in (0, 100, 200)] == [
        [row["task_id"] for row in created[first : first + 100]] for first in (0, 100, 200)
    ]


async def test_only_what_the_flag_sends_away_moves(move):
    """A project or a type of the tenant may be at another stage."""
    await move.hold("moves")
    await move.hold("stays1", project_id="p1")
    await move.hold("stays2", task_type="backup")
    move.put(Stage.RAMPDOWN)
    move.put(Stage.OFF, project_id="p1")
    move.put(Stage.LIVE, task_type="backup")
    await move.run()
    assert await move.states() == {"moves": "queued temporal", "stays1": "queued redis", "stays2": "queued redis"}
    assert await move.in_redis() == {"stays1", "stays2"}


async def test_what_a_redrive_wants_in_redis_stays(move):
    """Else it would come back again and again."""
    await move.hold("a", wanted_backend="redis")
    move.put(Stage.RAMPDOWN)
    await move.run()
    assert await move.states() == {"a": "queued redis"}


async def test_a_tenant_is_given_no_more_than_it_starts(move):
    for number in range(300):
        await move.hold(f"t{number}")
    move.put(Stage.RAMPDOWN)
    leader = move.leader()
    for _ in range(5):
        assert await leader.look() is not None
    states = list((await move.states()).values())
    assert (states.count("waiting temporal"), states.count("queued redis")) == (100, 200)
    assert len(await move.in_redis()) == 200


async def test_tasks_that_wait_anyway_come_first(move):
    """They are in the tenant's own crowd: those in Redis may as well run there until it is gone."""
    for number in range(100):
        await move.hold(f"w{number}", pushed=False, state="waiting", backend=None, epoch=0)
    await move.hold("a")
    move.put(Stage.RAMPDOWN)
    leader = move.leader()
    assert await leader.look() is not None
    assert (await move.states())["a"] == "queued redis"
    await move.start_waiting()
    await leader.look()
    assert (await move.states())["a"] == "waiting temporal"


async def test_what_cannot_move_does_not_stand_before_what_can(move, monkeypatch):
    monkeypatch.setattr(rampdown, "REST_SECONDS", 0.0)
    for number in range(150):
        await move.hold(f"a{number}", pushed=False)  # a worker has it
    await move.hold("zzzzz")
    move.put(Stage.RAMPDOWN)
    leader = move.leader()
    await leader.look()
    await leader.look()
    assert (await move.states())["zzzzz"] == "waiting temporal"


async def test_a_tenant_without_a_name_moves(move):
    await move.hold("a", tenant_id=None)
    move.flags.put(Scope(), Stage.RAMPDOWN)
    await move.run()
    assert move.started == ["a"]


async def test_a_backend_that_is_not_configured_gets_nothing(move):
    await move.hold("a")
    move.put(Stage.RAMPDOWN)
    await move.run(move.leader(configured={"redis"}))
    assert await move.states() == {"a": "queued redis"}


# What has begun ----------------------------------------------------------------------------------------------


async def test_what_a_legacy_worker_took_stays_from_the_first_moment(move):
    """It is in the workers' list; the row knows nothing of it yet."""
    await move.hold("taken")
    await move.hold("waits")
    await move.queue.lmove("queue:group:g", "queue:processing:global", "LEFT", "LEFT")
    move.put(Stage.RAMPDOWN)
    await move.run()
    assert await move.states() == {"taken": "queued redis", "waits": "queued temporal"}


@pytest.mark.parametrize("status", ["PROCESSING", "COMPLETED", "FAILED", "PENDING"])
async def test_what_a_legacy_worker_says_in_the_row_stays(move, status):
    """Also while a copy lies in the list; whoever is right, the reconciler merges it."""
    await move.hold("a")
    await move.database.execute("UPDATE task_logs SET status = $1, started_at = now(), worker_id = 'legacy-1'", status)
    move.put(Stage.RAMPDOWN)
    await move.run()
    assert await move.states() == {"a": "queued redis"}
    assert await move.in_redis() == {"a"}


async def test_what_a_legacy_worker_began_before_stays(move, changes):
    """Its recovery loop pushed it again; it may be running there all the same (R4)."""
    await move.hold("a")
    await move.database.execute("UPDATE task_logs SET status = 'PENDING', started_at = now(), worker_id = 'legacy-1'")
    await Reconciler(move.database, {"redis": move.redis}, changes).tick()
    move.put(Stage.RAMPDOWN)
    await move.run()
    assert await move.states() == {"a": "queued redis"}
    rows = await move.database.fetch("SELECT attempt, epoch, worker_id, outcome FROM taskgate.attempt")
    assert [tuple(row) for row in rows] == [(1, 1, "legacy-1", "lost")]


async def test_what_a_lost_worker_of_ours_had_moves_when_it_is_back(move, new_worker):
    """Its run is fenced off, and the engine has put it back."""
    await new_worker("w1")
    await move.hold("a", attempt=1)
    await move.database.execute(
        "INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, outcome)"
        " VALUES ('a', 1, 1, 'redis', 'w1', 'lost')"
    )
    move.put(Stage.RAMPDOWN)
    await move.run()
    assert move.started == ["a"]


async def test_what_was_claimed_with_a_copy_in_between_runs_where_it_is(move, die_at):
    """The row decides: the claim came before the move was written down."""
    await move.hold("a")
    move.put(Stage.RAMPDOWN)
    with die_at("after_withdraw"):
        await move.leader().tick()
    await move.database.execute("UPDATE taskgate.dispatch SET state = 'running', attempt = 1, worker_id = 'w1'")
    await move.run()
    assert await move.states() == {"a": "running redis"}


async def test_a_copy_finds_no_claim(move, transitions, new_worker):
    """What floats in Redis belongs to a start that is no more."""
    await new_worker("w1")
    await move.hold("a")
    copy = await move.queue.lindex("queue:group:g", 0)
    move.put(Stage.RAMPDOWN)
    await move.leader().look()
    await move.queue.rpush("queue:group:g", copy)
    assert await transitions.claim("a", "redis", json.loads(copy)["dispatch_epoch"], "w1", with_payload=False) is None
    await move.start_waiting()
    assert await transitions.claim("a", "redis", 1, "w1", with_payload=False) is None
    assert await transitions.claim("a", "temporal", 2, "w1", with_payload=False) is not None


async def test_without_asking_redis_tasks_would_run_twice(move):
    """The fence taken away: they are started on Temporal, and legacy workers have them or will take them."""
    await move.hold("taken")
    await move.queue.lmove("queue:group:g", "queue:processing:global", "LEFT", "LEFT")
    await move.hold("waits")
    move.put(Stage.RAMPDOWN)
    await move.run(move.leader(fenced=False))
    assert await move.states() == {"taken": "queued temporal", "waits": "queued temporal"}
    assert await move.queue.llen("queue:processing:global") == 1
    assert await move.in_redis() == {"waits"}
