"""Plans work with every source of the flag, also while what holds it is away."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.migration.flags.store import FileStore
from gateway.migration.plans.errors import PlanInvalid
from gateway.migration.stages.requests import ClearOverride, SetOverride, SetRollout, SetStage
from gateway.routing.flag_edit import new_flag
from gateway.routing.flag_file import FlagFile
from gateway.routing.query import RouteQuery
from gateway.routing.stages import Stage
from tests.integration.migration.plans.conftest import KEY
from tests.integration.migration.plans.elsewhere import Elsewhere, overrides, targets
from workers.testing.waiting import until

World = Any
PLAN = "name: spring\nwhy: w\nbake: '0'\nwaves: [{tenants: [acme]}, {tenants: [globex]}]\n"
RAMPDOWN = PLAN.replace("waves:", "stage: rampdown\nwaves:")


async def ramped_down_from_live(world: World) -> None:
    """Everybody was at live; a plan has put its tenants at rampdown, and the flag says so."""
    version, _ = await world.stages.document()
    await world.stages.set("ada", SetStage(everything=True, stage="live", why="w", based_on=version))
    await world.write(RAMPDOWN)
    await world.act("start")
    await world.until("done", minutes=1)
    await until(lambda: len(targets(world)) == 2)


async def test_overrides_stand_in_for_a_flag_that_is_away_and_are_folded_back(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write(PLAN)
    await world.act("start")
    monkeypatch.setattr(Elsewhere, "is_away", True)
    held = await world.until("held", minutes=1)
    assert (
        held["says"]
        == "all waves are over; overrides stand in for the flag until it can be changed: LaunchDarkly does not answer"
    )
    assert await overrides(world) == [("acme", "live", "taskgate plan"), ("globex", "live", "taskgate plan")]
    monkeypatch.setattr(Elsewhere, "is_away", False)
    assert await world.settings() == {}
    await world.tick(minutes=1)
    assert await world.settings() == {"acme": "live", "globex": "live"}
    await until(lambda: len(targets(world)) == 2)
    await world.until("done", minutes=1)
    assert await overrides(world) == []
    await until(lambda: not world.routing.overrides.rows())
    assert world.routing.route(RouteQuery("globex", "backup", plan=None)).stage is Stage.LIVE
    # At no moment the flag and the overrides together said `off`.
    entries = await world.database.fetch(
        "SELECT source, before, after FROM taskgate.ledger WHERE kind = 'flip' AND scope = 'tenant:acme' ORDER BY id"
    )
    assert [tuple(row) for row in entries] == [
        ("override", None, "live"),
        ("launchdarkly", None, "live"),
        ("override", "live", None),
    ]


async def test_a_persons_override_for_all_reaches_tenants_that_a_plan_moved_while_the_flag_is_away(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write(PLAN)
    await world.act("start")
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.until("held", minutes=1)
    acme = RouteQuery("acme", "backup", plan=None)
    await until(lambda: world.routing.route(acme).stage is Stage.LIVE)
    everybody = SetOverride(everything=True, stage="off", why="Temporal is down", based_on=0)
    kept = (await world.stages.overrides.set("eve", everybody)).view()
    await until(lambda: world.routing.route(acme).stage is Stage.OFF)
    await world.tick(minutes=1)
    assert (await world.plan())["says"].startswith("eve keeps everybody at off (Temporal is down)")
    await world.stages.overrides.clear(
        "eve", ClearOverride(everything=True, why="it is back", based_on=kept["version"])
    )
    await until(lambda: world.routing.route(acme).stage is Stage.LIVE)


async def test_a_guardrail_takes_back_a_tenant_that_an_override_of_a_plan_moved(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write(PLAN)
    await world.act("start")
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.tick()
    await world.trip("acme")
    assert await overrides(world) == [("acme", "off", "taskgate guardrail")]
    assert (await world.until("held"))["says"].startswith("the guardrail took tenant acme back to off")


async def test_the_flag_takes_over_also_for_a_tenant_whose_guardrail_holds_meanwhile(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write(PLAN)
    await world.act("start")
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.tick()
    await world.database.execute(
        "INSERT INTO taskgate.guardrail (tenant_id, phase, redis_stage, since, rollbacks, concerns)"
        """ VALUES ('acme', 'armed', 'off', '{}', 0, '{"queue_age": {"response": "hold", "why": "tasks wait"}}')"""
    )
    monkeypatch.setattr(Elsewhere, "is_away", False)
    held = await world.until("held", minutes=1)
    assert held["says"].startswith("the guardrail of tenant acme holds (tasks wait)")
    await world.tick(minutes=1)
    await until(lambda: targets(world) == ["acme"])
    await world.tick(minutes=1)
    assert await overrides(world) == []


async def test_a_rollback_does_not_wait_for_a_flag_that_is_away(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write(PLAN)
    await world.act("start")
    await world.until("done", minutes=1)
    await until(lambda: len(targets(world)) == 2)
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.act("rollback")
    await world.tick()
    assert await overrides(world) == [("acme", "off", "taskgate plan"), ("globex", "off", "taskgate plan")]
    assert (await world.plan())["says"] == "LaunchDarkly does not answer"
    monkeypatch.setattr(Elsewhere, "is_away", False)
    await world.tick(minutes=1)
    await world.tick(minutes=1)
    await until(lambda: not targets(world))
    await world.until("aborted", minutes=1)
    assert (await world.settings(), await overrides(world)) == ({}, [])


async def test_a_rollback_does_not_wait_for_a_flag_that_can_be_read_but_not_changed(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write(PLAN)
    await world.act("start")
    await world.until("done", minutes=1)
    await until(lambda: len(targets(world)) == 2)
    monkeypatch.setattr(Elsewhere, "breaks_off", True)
    await world.act("rollback")
    await world.tick(minutes=1)
    assert await overrides(world) == [("acme", "off", "taskgate plan"), ("globex", "off", "taskgate plan")]
    assert (await world.plan())["says"] == "LaunchDarkly asks to wait"
    # The ledger has the change and its end; further tries say nothing new.
    before = await world.database.fetchval("SELECT count(*) FROM taskgate.ledger")
    await world.tick(3, minutes=1)
    assert await world.database.fetchval("SELECT count(*) FROM taskgate.ledger") == before
    monkeypatch.setattr(Elsewhere, "breaks_off", False)
    await world.tick(2, minutes=1)
    await until(lambda: not targets(world))
    await world.until("aborted", minutes=1)
    assert (await world.settings(), await overrides(world)) == ({}, [])


async def test_a_rollback_that_is_aborted_while_the_flag_is_away_leaves_tenants_where_they_were(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write(PLAN)
    await world.act("start")
    await world.until("done", minutes=1)
    await until(lambda: len(targets(world)) == 2)
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.act("rollback")
    await world.tick()
    await world.act("abort")
    with pytest.raises(PlanInvalid, match="plan spring is over, but by overrides it still moves acme, too"):
        await world.write("name: rival\nwhy: w\nwaves: [{tenants: [acme]}]\n")
    monkeypatch.setattr(Elsewhere, "is_away", False)
    await world.tick(2, minutes=1)
    await until(lambda: not targets(world))
    await world.tick(minutes=1)
    assert (await world.settings(), await overrides(world)) == ({}, [])
    assert [wave["back"] for wave in (await world.plan())["waves"]] == [1, 1]
    await world.write("name: rival\nwhy: w\nwaves: [{tenants: [acme]}]\n")


async def test_a_rollback_while_the_flag_is_away_puts_tenants_at_the_default_that_they_had(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await ramped_down_from_live(world)
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.act("rollback")
    await world.tick(2, minutes=1)
    assert await overrides(world) == [("acme", "live", "taskgate plan"), ("globex", "live", "taskgate plan")]
    monkeypatch.setattr(Elsewhere, "is_away", False)
    await world.tick(2, minutes=1)
    await until(lambda: not targets(world))
    await world.until("aborted", minutes=1)
    assert (await world.settings(), await overrides(world)) == ({}, [])


async def test_a_rollback_while_the_flag_is_away_leaves_a_tenant_whose_default_is_a_percentage_and_says_so(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    version, _ = await world.stages.document()
    half = SetRollout(stage="live", percent=50, unit="tenant", why="w", based_on=version)
    await world.stages.roll_out("ada", half)
    await world.write(RAMPDOWN)
    await world.act("start")
    await world.until("done", minutes=1)
    await until(lambda: len(targets(world)) == 2)
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.act("rollback")
    await world.tick()
    assert (await world.plan())["says"] == (
        "LaunchDarkly does not answer; until the flag can be changed, these stay where they are: globex, acme; before,"
        " they followed its default, which is a percentage"
    )
    assert await overrides(world) == []
    monkeypatch.setattr(Elsewhere, "is_away", False)
    await world.tick(2, minutes=1)
    await world.until("aborted", minutes=1)
    assert (await world.settings(), await overrides(world)) == ({}, [])


async def test_a_rollback_while_the_flag_is_away_leaves_a_tenant_that_others_moved_since(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write(PLAN)
    await world.act("start")
    await world.until("done", minutes=1)
    version, _ = await world.stages.document()
    await world.stages.set("eve", SetStage(tenant_id="acme", stage="complete", why="w", based_on=version))
    await world.routing.until_stage(Stage.COMPLETE, RouteQuery("acme", "backup", plan=None))
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.act("rollback")
    await world.tick(2, minutes=1)
    assert await overrides(world) == [("globex", "off", "taskgate plan")]
    monkeypatch.setattr(Elsewhere, "is_away", False)
    await world.tick(2, minutes=1)
    await until(lambda: targets(world) == ["acme"])
    await world.until("aborted", minutes=1)
    assert (await world.settings(), await overrides(world)) == ({"acme": "complete"}, [])


async def test_a_rollback_ends_the_overrides_that_moved_tenants_while_the_flag_is_away(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write(PLAN)
    await world.act("start")
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.until("held", minutes=1)
    assert len(await overrides(world)) == 2
    await world.act("rollback")
    await world.tick(2, minutes=1)
    assert await overrides(world) == []
    monkeypatch.setattr(Elsewhere, "is_away", False)
    assert (await world.until("aborted", minutes=1))["says"] == "rolled back: 2 tenants are where they were before"
    assert (await world.settings(), await overrides(world)) == ({}, [])


@pytest.mark.parametrize("lack", ["token", "flag"])
async def test_no_override_stands_in_for_a_flag_that_is_not_known_or_never_changed_from_here(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch, lack: str
) -> None:
    world = elsewhere
    await world.write(PLAN)
    await world.act("start")
    if lack == "token":
        monkeypatch.setattr(Elsewhere, "refusal", "no token")
    else:
        monkeypatch.setattr(world.runner._mover, "_known", lambda: None)
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.tick(3, minutes=1)
    assert ((await world.plan())["says"], await overrides(world)) == ("LaunchDarkly does not answer", [])


async def test_a_flag_file_that_is_read_only_holds_the_plan_and_writes_nothing(
    world: World, new_routing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "flags.json"
    path.write_text(json.dumps({"flags": {KEY: new_flag(KEY)}}))
    world.routing = await new_routing(path)
    world.store = lambda database: FileStore(database, FlagFile(path, KEY))
    world.stages = world._door(world.database)
    await world.begin_term()
    await world.write(PLAN)
    await world.act("start")
    with monkeypatch.context() as read_only:
        read_only.setattr(os, "access", lambda where, mode: False)
        held = await world.until("held")
        assert held["says"] == f"the flag file {path} is read-only here: let the gateway write to its directory"
        before = await world.database.fetchval("SELECT count(*) FROM taskgate.ledger")
        await world.tick(3, minutes=1)
        assert await world.database.fetchval("SELECT count(*) FROM taskgate.ledger") == before
    await world.until("done", minutes=1)
    assert await world.settings() == {"acme": "live", "globex": "live"}
    assert await world.flips() == {"acme": 1, "globex": 1}


async def test_a_percentage_that_could_not_be_written_is_written_again(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write("name: spring\nwhy: w\nbake: '0'\nwaves: [{tasks_percent: 25}, {tasks_percent: 100}]\n")
    await world.act("start")
    monkeypatch.setattr(Elsewhere, "breaks_off", True)
    await world.tick(5, minutes=1)
    assert (await world.plan())["says"] == "LaunchDarkly asks to wait"
    monkeypatch.setattr(Elsewhere, "breaks_off", False)
    await world.until("done", minutes=1)


@pytest.mark.parametrize("percent", [25, 100])
async def test_a_rollback_while_the_flag_is_away_knows_the_default_that_the_plan_replaced(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch, percent: int
) -> None:
    world = elsewhere
    await world.write(f"name: spring\nwhy: w\nbake: '0'\nwaves: [{{tenants: [acme]}}, {{tasks_percent: {percent}}}]\n")
    await world.act("start")
    await world.until("done", minutes=1)
    await until(lambda: targets(world) == ["acme"])
    if percent == 100:
        await world.routing.until_stage(Stage.LIVE, RouteQuery("globex", "backup", plan=None))
    else:
        await until(lambda: "rollout" in world.routing.flags.document()["fallthrough"])
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.act("rollback")
    await world.tick(2, minutes=1)
    assert await overrides(world) == [("acme", "off", "taskgate plan")]


async def test_a_rollback_while_the_flag_is_away_lifts_nobody_above_what_a_person_keeps_everybody_at(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await ramped_down_from_live(world)
    await world.stages.overrides.set("eve", SetOverride(everything=True, stage="off", why="w", based_on=0))
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.act("rollback")
    await world.tick(2, minutes=1)
    assert len(await overrides(world)) == 3
    await until(lambda: len(world.routing.overrides.rows()) == 3)
    assert world.routing.route(RouteQuery("acme", "backup", plan=None)).stage is Stage.OFF
