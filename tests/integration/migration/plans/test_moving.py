"""A plan moves its tenants wave by wave, as people steer it, and puts them back."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from gateway.migration.plans.checking import Written
from gateway.migration.plans.errors import PlanInvalid, PlanNotFound, PlanRefused, PlanStale
from gateway.migration.stages.requests import SetRollout, SetStage, StageName
from gateway.tasks import fault_points
from tests.integration.migration.plans.conftest import THREE

pytestmark = pytest.mark.system

World = Any


async def test_three_waves_move_four_tenants_and_bake_in_between(world: World) -> None:
    draft = await world.write(THREE)
    assert [wave["tenants"] for wave in draft["waves"]] == [1, 1, 2]
    assert draft["says"] == 'a draft of 3 waves; taskgate migration plan start spring --why "…"'
    await world.act("start")
    assert (await world.until("baking"))["wave"] == 1
    assert await world.settings() == {"acme": "live"}
    await world.tick(3, minutes=15)
    assert await world.settings() == {"acme": "live"}
    await world.tick(4, minutes=15)
    assert await world.settings() == {"acme": "live", "globex": "live"}
    done = await world.until("done", minutes=30)
    assert await world.settings() == dict.fromkeys(("acme", "globex", "initech", "umbrella"), "live")
    assert done["says"] == "all 3 waves are over"
    assert [step["why"] for step in reversed(done["steps"])][:4] == [
        "written: the move",
        "start: a test",
        "wave 1 (pilot): all are moved; it bakes until 2026-11-28 13:00:00 UTC",
        "wave 1 (pilot) is over; wave 2 begins",
    ]
    entry = await world.database.fetchrow("SELECT who, why FROM taskgate.ledger WHERE scope = 'tenant:globex'")
    assert dict(entry) == {"who": "ada", "why": "plan spring, wave 2: the move"}


async def test_rollback_puts_back_exactly_what_the_plan_moved(world: World) -> None:
    await world.write("name: before\nwhy: w\nstage: shadow\nbake: '0'\nwaves: [{tenants: [acme]}]\n")
    await world.act("start", "before")
    await world.until("done", name="before")
    await world.write(THREE)
    await world.act("start")
    await world.until("done", minutes=30)
    await world.write("name: further\nwhy: w\nstage: rampdown\nbake: '0'\nwaves: [{tenants: [globex]}]\n")
    await world.act("start", "further")
    with pytest.raises(PlanRefused, match="plan further moves globex now: end that one first"):
        await world.act("rollback")
    await world.until("done", name="further")
    assert (await world.act("rollback"))["state"] == "rolling_back"
    back = await world.until("aborted")
    assert back["says"] == (
        "rolled back: 3 tenants are where they were before; 1 stood there already, or were moved by others since, and"
        " were left alone"
    )
    assert await world.settings() == {"acme": "shadow", "globex": "rampdown"}


async def test_people_pause_resume_skip_and_abort(world: World) -> None:
    await world.write(THREE)
    with pytest.raises(PlanRefused, match="plan spring is draft and cannot be paused"):
        await world.act("pause")
    await world.act("start")
    await world.until("baking")
    assert (await world.act("pause", who="bob"))["says"] == "bob paused it: a test"
    await world.tick(5, minutes=60)
    assert (await world.plan())["wave"] == 1
    await world.act("resume")
    with pytest.raises(PlanRefused, match="in wave 1, not 2"):
        await world.act("skip", wave=2)
    skipped = await world.act("skip", wave=1)
    assert skipped["wave"] == 2
    assert skipped["says"] == "ada skipped wave 1 (pilot): a test; wave 2 begins"
    await world.act("skip", tenant_id="globex")
    with pytest.raises(PlanRefused, match="globex is not in plan spring, or was skipped already"):
        await world.act("skip", tenant_id="globex")
    await world.until("baking")
    assert await world.settings() == {"acme": "live"}
    assert (await world.act("abort"))["state"] == "aborted"
    await world.tick(5, minutes=60)
    assert await world.settings() == {"acme": "live"}
    with pytest.raises(PlanRefused, match="is aborted and cannot be resumed"):
        await world.act("resume")


async def test_a_plan_under_way_is_not_edited_and_no_other_takes_its_tenants(world: World) -> None:
    first = await world.write(THREE)
    with pytest.raises(PlanStale):
        await world.plans.put("bob", "spring", Written.of(THREE), first["version"] + 1)
    await world.plans.put("bob", "spring", Written.of(THREE), first["version"])
    await world.act("start")
    with pytest.raises(PlanRefused, match="is not changed under way: skip tenants or waves of it, or abort it"):
        await world.write(THREE)
    with pytest.raises(PlanInvalid, match="plan spring is under way and moves globex, too"):
        await world.write("name: rival\nwhy: w\nwaves: [{tier: vip}]\n")
    with pytest.raises(PlanNotFound):
        await world.act("start", "nobody")


async def test_a_percentage_of_tasks_moves_the_default_and_back(world: World) -> None:
    await world.write("name: spring\nwhy: w\nbake: '0'\nwaves: [{tasks_percent: 25}, {tasks_percent: 100}]\n")
    await world.act("start")
    await world.until("baking")
    default = (await world.stages.view())["default"]
    assert default == "off 75 %, live 25 % by task"
    await world.until("done", minutes=1)
    assert (await world.stages.view())["default"] == "live"
    await world.act("rollback")
    await world.until("aborted", minutes=1)
    assert (await world.stages.view())["default"] == "off"


async def share_out(world: World, percent: float, stage: StageName = "live") -> None:
    """A person gives this percentage of everybody's tasks to a stage."""
    version, _ = await world.stages.document()
    asked = SetRollout(stage=stage, percent=percent, unit="task", why="w", based_on=version)
    await world.stages.roll_out("eve", asked)


@pytest.mark.parametrize("percent", [25, 100])
async def test_a_percentage_that_was_there_before_is_there_after_a_rollback(world: World, percent: int) -> None:
    await share_out(world, 10)
    await world.write(f"name: spring\nwhy: w\nbake: '0'\nwaves: [{{tasks_percent: {percent}}}]\n")
    await world.act("start")
    await world.until("done", minutes=1)
    await world.act("rollback")
    await world.until("aborted", minutes=1)
    assert (await world.stages.view())["default"] == "off 90 %, live 10 % by task"


async def test_a_rollback_of_a_percentage_that_a_gateway_before_this_version_began(world: World) -> None:
    await share_out(world, 10)
    await world.write("name: spring\nwhy: w\nbake: '0'\nwaves: [{tasks_percent: 25}]\n")
    await world.act("start")
    await world.until("done", minutes=1)
    await world.database.execute("UPDATE taskgate.plan SET share_before = share_before - 'others'")
    await world.act("rollback")
    await world.until("aborted", minutes=1)
    assert (await world.stages.view())["default"] == "off 90 %, live 10 % by task"


@pytest.mark.parametrize("stage", ["live", "rampdown"])
async def test_a_percentage_of_tasks_takes_none_back(world: World, stage: StageName) -> None:
    await share_out(world, 50, stage)
    waves = f"[{{tasks_percent: 5, stage: live}}, {{tasks_percent: 100, stage: {stage}}}]"
    await world.write(f"name: spring\nwhy: w\nbake: 1h\nwaves: {waves}\n")
    await world.act("start")
    await world.until("baking")
    assert (await world.stages.view())["default"] == f"off 50 %, {stage} 50 % by task"
    await world.until("done", minutes=20)
    assert (await world.stages.view())["default"] == stage


async def test_only_a_wave_that_names_its_tenants_moves_them_backwards(world: World) -> None:
    await world.write("name: far\nwhy: w\nstage: complete\nbake: '0'\nwaves: [{tenants: [acme, globex]}]\n")
    await world.act("start", "far")
    await world.until("done", minutes=1, name="far")
    await world.write("name: spring\nwhy: w\nbake: '0'\nwaves: [{tenants: [acme]}, {percent: 100}]\n")
    await world.act("start")
    done = await world.until("done", minutes=1)
    assert await world.settings() == {"acme": "live", "globex": "complete", "initech": "live", "umbrella": "live"}
    assert [(wave["moved"], wave["left"]) for wave in done["waves"]] == [(1, 0), (2, 1)]


async def test_nobody_is_moved_behind_a_default_that_is_further(world: World) -> None:
    version, _ = await world.stages.document()
    await world.stages.set("eve", SetStage(everything=True, stage="complete", why="w", based_on=version, force=True))
    await world.write("name: spring\nwhy: w\nbake: '0'\nwaves: [{percent: 100}]\n")
    await world.act("start")
    assert (await world.until("done", minutes=1))["waves"][0]["left"] == 4
    assert await world.settings() == {}


async def test_a_default_that_a_person_set_before_the_plan_moved_anything_stays(world: World) -> None:
    await world.write("name: spring\nwhy: w\nbake: '0'\nwaves: [{tasks_percent: 25}]\n")
    await world.act("start")
    await world.tick()
    version, _ = await world.stages.document()
    await world.stages.set("eve", SetStage(everything=True, stage="shadow", why="w", based_on=version))
    await world.act("rollback")
    await world.until("aborted", minutes=1)
    assert (await world.stages.view())["default"] == "shadow"


async def test_what_a_plan_made_of_the_default_is_known_with_the_change(world: World) -> None:
    await world.write("name: spring\nwhy: w\nbake: '0'\nwaves: [{tasks_percent: 33.333}]\n")
    await world.act("start")
    await world.tick(2)
    assert (await world.stages.view())["default"] == "off 66.667 %, live 33.333 % by task"
    await world.act("rollback")
    await world.until("aborted", minutes=1)
    assert (await world.stages.view())["default"] == "off"


@pytest.mark.timeout(120)
async def test_two_thousand_tenants_in_twelve_waves_with_leaders_that_die_at_every_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"t{n:04}" for n in range(1996)]
    await world.add_tenants(names)
    shares = "".join(f"- {{percent: {percent}}}\n" for percent in (1, 2, 5, 10, 20, 30, 40, 55, 70, 85, 100))
    await world.write(f"name: spring\nwhy: the move\nbake: 1h\nwaves:\n- {{tenants: [acme]}}\n{shares}")
    await world.act("start")
    passed: Counter[str] = Counter()

    def die_every_other_time(point: str) -> None:
        passed[point] += 1
        if passed[point] % 2:
            raise world.died

    monkeypatch.setattr(fault_points, "passing", die_every_other_time)
    for wave in range(1, 13):
        plan = await world.until("baking", most=400)
        assert plan["wave"] == wave
        if wave in (4, 9):
            tenant = await world.database.fetchval(
                "SELECT min(tenant_id) FROM taskgate.plan_tenant WHERE plan = 'spring' AND wave = $1", wave - 1
            )
            with monkeypatch.context() as alive:
                alive.setattr(fault_points, "passing", lambda point: None)
                await world.trip(tenant)
            assert tenant in (await world.until("held"))["says"]
            if wave == 4:
                await world.mend(tenant)
            else:
                taken_back = tenant
                await world.act("skip", tenant_id=tenant)
            await world.until("baking")
        await world.tick(4, minutes=31)
    done = await world.until("done", minutes=31)
    assert done["says"] == "all 12 waves are over; 1 tenant was skipped"
    assert await world.settings() == dict.fromkeys((*names, "acme", "globex", "initech", "umbrella"), "live")
    assert set((await world.flips()).values()) == {1}
    rows = await world.database.fetch("SELECT tenant_id, stage, set_by FROM taskgate.route_override")
    assert [tuple(row) for row in rows] == [(taken_back, "off", "taskgate guardrail")]
    assert {point for point in passed if "plan" in point} == {
        "before_plan_step",
        "after_plan_step",
        "after_plan_begin",
        "before_plan_move",
        "after_plan_move",
    }
