"""A tenant that does worse on Temporal is taken back; whatever speaks against that is said."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.audit.errors import LedgerUnwritable
from gateway.errors import DatabaseUnavailable
from gateway.migration.guardrails import rollback as module
from gateway.migration.guardrails.guard import Phase
from gateway.migration.guardrails.places import AUTHOR
from gateway.recovery.fenced_database import LeadershipLost
from gateway.routing.overrides import clear_override, set_override
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.tasks import fault_points

Rails = Any


async def moved_and_worse(rails: Rails) -> Any:
    """The leader, after acme was moved; of what ends there, most fails."""
    await rails.ran_on_redis(1000, 10)
    await rails.put(Stage.SHADOW)
    leader = await rails.begin_term()
    await leader.tick()
    await rails.put(Stage.LIVE)
    await leader.tick()
    await rails.ended(10, 2)
    return leader


async def test_a_regression_is_taken_back_with_its_record(rails: Rails) -> None:
    leader = await moved_and_worse(rails)
    await leader.tick()
    assert await rails.overrides() == [("acme", "shadow", AUTHOR)]
    guard = await rails.guard()
    assert (guard.phase, guard.rollbacks, guard.redis_stage) == (Phase.ROLLED_BACK, 1, Stage.SHADOW)
    assert guard.cooldown_ends - guard.rolled_back_at == timedelta(minutes=15)
    assert await rails.events() == ["armed", "rolled_back"]
    entry = await rails.database.fetchrow("SELECT * FROM taskgate.ledger ORDER BY id DESC LIMIT 1")
    assert (entry["source"], entry["scope"], entry["after"], entry["who"]) == (
        "override",
        "tenant:acme",
        "shadow",
        AUTHOR,
    )
    assert (
        "backup: 10 of 12 of the first runs fail on temporal (83%), on redis it was 10 of 1000 (1.0%)" in entry["why"]
    )
    evidence = json.loads(entry["evidence"])
    assert (evidence["temporal"], evidence["redis"]) == ({"asked": 12, "yes": 10}, {"asked": 1000, "yes": 10})
    assert entry["id"] == await rails.database.fetchval(
        "SELECT entry_id FROM taskgate.guardrail_event WHERE kind = 'rolled_back'"
    )
    [sent] = await rails.database.fetch("SELECT event, tenant_id, body FROM taskgate.delivery")
    assert (sent["event"], sent["tenant_id"]) == ("guardrail", None)
    body = json.loads(sent["body"])
    assert (body["type"], body["data"]["tenant_id"]) == ("guardrail.rolled_back", "acme")
    await rails.routing.until_stage(Stage.SHADOW)
    await leader.tick()
    assert await rails.events() == ["armed", "rolled_back"]


async def test_an_engine_that_does_as_well_is_left_alone(rails: Rails) -> None:
    leader = await moved_and_worse(rails)
    await rails.database.execute("UPDATE taskgate.outcome SET failed = false")
    await leader.tick()
    assert (await rails.guard()).phase is Phase.ARMED
    assert await rails.overrides() == []


@pytest.mark.parametrize("point", ["before_rollback", "in_rollback", "after_rollback"])
async def test_the_next_leader_goes_on_wherever_the_last_one_died(
    rails: Rails, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = await moved_and_worse(rails)

    def die(passed: str) -> None:
        if passed == point:
            raise DatabaseUnavailable("killed")

    with monkeypatch.context() as dying:
        dying.setattr(fault_points, "passing", die)
        with pytest.raises(DatabaseUnavailable):
            await leader.tick()
    await (await rails.begin_term()).tick()
    assert await rails.overrides() == [("acme", "shadow", AUTHOR)]
    assert await rails.events() == ["armed", "rolled_back"]
    assert (await rails.guard()).rollbacks == 1


async def test_who_only_believes_to_lead_changes_nothing(rails: Rails) -> None:
    old = await moved_and_worse(rails)
    new = await rails.begin_term()
    with pytest.raises(LeadershipLost):
        await old.tick()
    assert await rails.overrides() == []
    await new.tick()
    assert len(await rails.overrides()) == 1


async def test_a_leader_that_lost_its_term_while_it_decided_writes_nothing(
    rails: Rails, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await moved_and_worse(rails)
    monkeypatch.setattr(old._redis, "check_health", rails.begin_term)
    with pytest.raises(LeadershipLost):
        await old.tick()
    assert await rails.overrides() == []


async def test_an_override_by_hand_stays_and_is_named(rails: Rails) -> None:
    leader = await moved_and_worse(rails)
    await set_override(rails.database, Scope("acme"), Stage.LIVE, by="ada", why="demo at noon")
    # The gateway has not heard of it yet: the row itself decides.
    await leader.tick()
    assert await rails.overrides() == [("acme", "live", "ada")]
    [held] = (await rails.guard()).holds
    assert "a person has decided: override for tenant acme by ada: demo at noon" in held
    assert await rails.events() == ["armed", "held"]
    await leader.tick()
    assert await rails.events() == ["armed", "held"]


async def test_without_its_record_nothing_is_rolled_back(rails: Rails, monkeypatch: pytest.MonkeyPatch) -> None:
    leader = await moved_and_worse(rails)

    async def refused(*_: Any) -> int:
        raise LedgerUnwritable("The ledger cannot be written (permission denied); the change is refused.")

    with monkeypatch.context() as broken:
        broken.setattr(module, "append", refused)
        await leader.tick()
        await leader.tick()
    assert await rails.overrides() == []
    [held] = (await rails.guard()).holds
    assert "not rolled back, because that cannot be recorded: The ledger cannot be written (permission denied)" in held
    assert await rails.events() == ["armed", "held"]
    assert await rails.database.fetchval("SELECT count(*) FROM taskgate.delivery") == 1
    await leader.tick()
    assert await rails.overrides() == [("acme", "shadow", AUTHOR)]


async def test_while_redis_is_away_it_holds_and_says_so(rails: Rails) -> None:
    leader = await moved_and_worse(rails)
    rails.redis.is_away = True
    await leader.tick()
    [held] = (await rails.guard()).holds
    assert "redis takes no tasks now (redis does not answer); bring it back, or stay on temporal" in held
    rails.redis.is_away = False
    await leader.tick()
    assert await rails.events() == ["armed", "held", "rolled_back"]


async def test_a_dry_run_only_reports(rails: Rails) -> None:
    await rails.set("tenant:acme", dry_run=True)
    leader = await moved_and_worse(rails)
    await leader.tick()
    assert await rails.overrides() == []
    assert await rails.events() == ["armed", "notified"]
    assert (await rails.guard()).holds == []
    # Whoever ends the dry run has it acted upon at once.
    await rails.set("tenant:acme", dry_run=False)
    await leader.tick()
    assert await rails.events() == ["armed", "notified", "rolled_back"]


async def test_a_broken_baseline_does_not_roll_back(rails: Rails) -> None:
    await rails.ran_on_redis(1000, 300)
    await rails.put(Stage.LIVE)
    leader = await rails.begin_term()
    await leader.tick()
    await rails.ended(40)
    await leader.tick()
    assert await rails.overrides() == []
    [held] = (await rails.guard()).holds
    assert "backup failed on redis, too: 300 of 1000 in the day before the move" in held
    assert "mend the handler first" in held


async def test_what_fails_everywhere_is_no_regression(rails: Rails) -> None:
    leader = await moved_and_worse(rails)
    await rails.ran_on_redis(50, 45, tenant="globex", minutes_ago=0)
    await leader.tick()
    assert await rails.overrides() == []
    [held] = (await rails.guard()).holds
    assert "backup fails everywhere now: 45 of 50 of other tenants on redis within a minute" in held
    # Once that is over the time in between does not count.
    await rails.database.execute("DELETE FROM taskgate.outcome_slice WHERE is_everybody AND failed > 40")
    await leader.tick()
    await rails.ended(0, 20)
    await leader.tick()
    assert await rails.events() == ["armed", "held", "cleared"]
    assert await rails.overrides() == []
    await rails.ended(20)
    await leader.tick()
    assert len(await rails.overrides()) == 1


async def test_a_type_that_redis_never_saw_is_said_not_to_be_compared(rails: Rails) -> None:
    leader = await moved_and_worse(rails)
    await rails.database.execute("UPDATE taskgate.outcome SET task_type = 'brand_new'")
    await leader.tick()
    assert await rails.overrides() == []
    [concern] = (await rails.guard()).concerns.values()
    assert concern.why == "brand_new has hardly run on redis: it is not compared, only limits watch it"


async def test_a_tenant_without_traffic_stays_armed(rails: Rails) -> None:
    await rails.put(Stage.LIVE)
    leader = await rails.begin_term()
    for _ in range(3):
        await leader.tick()
    assert (await rails.guard()).phase is Phase.ARMED
    assert await rails.events() == ["armed"]


async def test_a_move_of_one_type_is_watched_and_taken_back(rails: Rails) -> None:
    await rails.ran_on_redis(1000, 10)
    await rails.put(Stage.LIVE, task_type="backup")
    leader = await rails.begin_term()
    await leader.tick()
    await rails.ended(10, 2)
    await leader.tick()
    assert await rails.overrides() == [("acme", "off", AUTHOR)]


async def test_a_move_forward_within_the_cooldown_waits_for_its_end(rails: Rails) -> None:
    leader = await moved_and_worse(rails)
    await leader.tick()
    await rails.routing.until_stage(Stage.SHADOW)
    await leader.tick()
    await clear_override(rails.database, Scope("acme"), by="ada", why="mended")
    await rails.routing.until_stage(Stage.LIVE)
    await leader.tick()
    assert (await rails.guard()).phase is Phase.COOLING
    await rails.ended(10, 2)
    await leader.tick()
    assert await rails.overrides() == []
    await rails.database.execute(
        "UPDATE taskgate.guardrail SET cooldown_ends = now() - interval '1 s',"
        " version = nextval('taskgate.guardrail_version')"
    )
    await leader.tick()
    assert (await rails.guard()).phase is Phase.ARMED
    await rails.ended(10, 2)
    await leader.tick()
    guard = await rails.guard()
    assert (guard.phase, guard.rollbacks) == (Phase.ROLLED_BACK, 2)


async def test_everything_freezes_when_too_many_trip_at_once(rails: Rails) -> None:
    tenants = ["acme", "globex", "initech"]
    for tenant in tenants:
        await rails.ran_on_redis(1000, 10, tenant=tenant)
    leader = await rails.begin_term()
    await leader.tick()
    await rails.put_all(Stage.LIVE, tenants)
    await leader.tick()
    for tenant in tenants[:2]:
        await rails.ended(10, 2, tenant=tenant)
    await leader.tick()
    assert await rails.overrides() == []
    assert await rails.events(None) == ["frozen"]
    assert "2 of the 3 tenants that moved in the last hour" in await rails.database.fetchval(
        "SELECT why FROM taskgate.guardrail_freeze"
    )
    assert await rails.events("acme") == ["armed", "held"]


async def test_limits_hold_and_never_roll_back(rails: Rails) -> None:
    await rails.set("default", dead_letters_per_minute=5, worker_losses_per_minute=2, on_threshold="hold")
    await rails.put(Stage.LIVE)
    leader = await rails.begin_term()
    await leader.tick()
    await rails.ended(0, 6, dead=True, worker_lost=True)
    await leader.tick()
    assert sorted((await rails.guard()).holds) == [
        "6 dead letters in the last minute (limit 5)",
        "6 runs lost their worker in the last minute (limit 2)",
    ]
    rails.clock[0] += 61
    await leader.tick()
    assert (await rails.guard()).holds == []
    assert await rails.overrides() == []


async def test_an_old_queue_notifies(rails: Rails, new_task: Any) -> None:
    await rails.set("tier:standard", queue_age_seconds=60)
    await rails.put(Stage.LIVE)
    leader = await rails.begin_term()
    await leader.tick()
    task = await new_task(tenant_id="acme", backend="temporal")
    await rails.database.execute(
        "UPDATE taskgate.dispatch SET state = 'queued', queued_at = now() - interval '90 s' WHERE task_id = $1", task
    )
    await leader.tick()
    [concern] = (await rails.guard()).concerns.values()
    assert re.fullmatch(r"the oldest task that nobody has begun waits \d+ s \(limit 60 s\)", concern.why)


async def test_a_repetition_is_not_old_before_it_is_due(
    rails: Rails, new_task: Any, new_worker: Any, transitions: Any
) -> None:
    await rails.set("tier:standard", queue_age_seconds=60)
    await rails.put(Stage.LIVE)
    leader = await rails.begin_term()
    await leader.tick()
    await new_worker("w1", backend="temporal")
    handed_over = datetime.now(UTC) - timedelta(minutes=10)
    task = await new_task(tenant_id="acme", backend="temporal", queued_at=handed_over)
    claim = await transitions.claim(task, "temporal", 1, "w1", with_payload=False)
    await transitions.fail(task, claim.attempt, "boom", final=False, engine_retries=True, delay=timedelta(minutes=10))
    await leader.tick()
    assert (await rails.guard()).concerns == {}
    await rails.database.execute("UPDATE taskgate.dispatch SET queued_at = now() - interval '90 s'")
    await leader.tick()
    assert len((await rails.guard()).concerns) == 1


async def test_it_never_touches_a_task_that_was_started(rails: Rails, new_task: Any) -> None:
    leader = await moved_and_worse(rails)
    await new_task(tenant_id="acme", backend="temporal")
    before = await rails.database.fetch("SELECT * FROM taskgate.dispatch")
    await leader.tick()
    assert len(await rails.overrides()) == 1
    assert await rails.database.fetch("SELECT * FROM taskgate.dispatch") == before


async def test_the_ledger_refused_by_postgresql_itself(rails: Rails) -> None:
    leader = await moved_and_worse(rails)
    await rails.database.execute(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disk full'; END $$"
    )
    await rails.database.execute(
        "CREATE TRIGGER no BEFORE INSERT ON taskgate.ledger FOR EACH ROW EXECUTE FUNCTION no()"
    )
    await leader.tick()
    assert await rails.overrides() == []
    assert await rails.events() == ["armed", "held"]
