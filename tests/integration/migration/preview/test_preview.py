"""What a change of stages would have done to recorded tasks; nothing is changed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.errors import TenantNotFound
from gateway.migration.plans.checking import Written
from gateway.migration.plans.errors import PlanInvalid, PlanNotFound
from gateway.migration.preview import child
from gateway.migration.preview.child import Question
from gateway.migration.preview.errors import NothingRecorded, PreviewBusy, PreviewRefused, PreviewTooLarge
from gateway.migration.preview.requests import ProposedChange
from tests.performance.preview import fill

World = Any
PLAN = """\
name: spring
why: the move
waves:
- {name: pilot, tenants: [acme]}
- {tier: vip}
- {percent: 100}
"""


def count(tasks: int) -> dict[str, int]:
    return {"tasks": tasks, "low": tasks, "high": tasks}


async def test_a_stage_for_a_tenant_moves_its_tasks_and_changes_nothing(world: World) -> None:
    await world.ran("acme", 30)
    await world.ran("acme", 12, task_type="add_episode")
    await world.ran("globex", 7)
    await world.ran("acme", 5, hours_ago=30)
    found = await world.preview(stage="live", tenant_id="acme")
    assert (found["tasks"], found["contexts"], found["sampled"], found["flag_version"]) == (49, 3, 0, 0)
    [step] = found["steps"]
    assert (step["title"], step["stage"], step["tenants"]) == ("tenant acme", "live", 1)
    assert (step["to_temporal"], step["to_redis"], step["restaged"]) == (count(42), count(0), count(0))
    by_type = {one["task_type"]: (one["recorded"], one["to_temporal"]["tasks"]) for one in step["by_type"]}
    assert by_type == {"backup": (37, 30), "add_episode": (12, 12)}
    assert step["most"] == [{"tenant_id": "acme", "tasks": 42}]
    assert await world.stages.seen() == 0
    assert await world.database.fetchval("SELECT count(*) FROM taskgate.ledger") == 0


async def test_who_stands_there_or_has_an_override_does_not_move(world: World) -> None:
    for tenant in ("acme", "globex", "initech"):
        await world.ran(tenant, 10)
    await world.set_stage("acme", "live")
    await world.database.execute(
        "INSERT INTO taskgate.route_override (tenant_id, stage, why, set_by) VALUES ('globex', 'off', 'w', 'ada')"
    )
    [step] = (await world.preview(stage="rampdown", everything=True))["steps"]
    assert (step["to_temporal"], step["restaged"], step["overridden"]) == (count(10), count(0), 10)
    [step] = (await world.preview(stage="off", tenant_id="acme"))["steps"]
    assert (step["to_temporal"], step["to_redis"]) == (count(0), count(10))
    [step] = (await world.preview(stage="complete", tenant_id="acme"))["steps"]
    assert step["restaged"] == count(10)


async def test_a_percentage_of_tasks_is_estimated_from_a_sample_with_an_interval(world: World) -> None:
    await world.ran("acme", 30_000, apart=0.1)
    await world.set_stage("globex", "live")
    await world.ran("globex", 100)
    found = await world.preview(stage="live", percent=25, unit="task")
    [step] = found["steps"]
    moved = step["to_temporal"]
    assert 19_000 < found["sampled"] <= 20_000
    assert moved["low"] < 7500 < moved["high"]
    assert moved["low"] <= moved["tasks"] <= moved["high"] < moved["low"] + 400
    assert (step["tenants"], found["notes"]) == (
        1,
        ["who is first in the percentage is drawn when it is set: these are as many, not the same"],
    )


async def test_few_tasks_are_all_asked_and_there_is_no_interval(world: World) -> None:
    await world.ran("acme", 400)
    await world.roll_out(50, "task")
    found = await world.preview(stage="live", percent=100, unit="task")
    moved = found["steps"][0]["to_temporal"]
    assert found["sampled"] == 400
    assert moved["low"] == moved["tasks"] == moved["high"]
    assert 150 < moved["tasks"] < 250


async def test_a_dry_run_of_a_plan_is_a_preview_of_each_wave(world: World) -> None:
    for tenant, tasks in (("acme", 10), ("globex", 20), ("initech", 30), ("umbrella", 40)):
        await world.ran(tenant, tasks)
    found = await world.preview(document=PLAN)
    steps = [(step["title"], step["to_temporal"]["tasks"], step["tenants"]) for step in found["steps"]]
    assert steps == [("wave 1 (pilot)", 10, 1), ("wave 2", 20, 1), ("wave 3", 70, 2)]
    pools = [{one["pool"]: one["tasks"] for one in step["pools"]} for step in found["steps"]]
    assert pools == [{"C": 10}, {"B": 20, "C": 10}, {"B": 20, "C": 80}]
    assert found["pools_before"] == []
    await world.plans.put("ada", "spring", Written.of(PLAN), None)
    assert (await world.preview(plan="spring"))["steps"] == found["steps"]
    with pytest.raises(PlanInvalid) as wrong:
        await world.preview(document=PLAN.replace("[acme]", "[nobody]"))
    assert [fault.place for fault in wrong.value.faults] == ["/waves/0/tenants/0"]


async def test_pools_need_what_arrivals_and_measured_runs_say(world: World) -> None:
    """Ten tasks in one second that run 30 s are busy on five slots, on average of that minute."""
    await world.ran("acme", 10, seconds=30, apart=0.1, hours_ago=1 - 20 / 3600)
    await world.database.execute(
        "INSERT INTO taskgate.process (process_id, kind, pool, backend, host, pid, version, slots, lock_key)"
        " VALUES ('w', 'worker', 'C', 'temporal', 'h', 1, '0', 2, 1)"
    )
    found = await world.preview(stage="live", tenant_id="acme")
    [need] = found["steps"][0]["pools"]
    assert (need["pool"], need["tasks"], need["slots_now"]) == ("C", 10, 2)
    assert (need["slots"], need["busiest_minute"]) == (5, 23 * 60)
    assert need["mean_slots"] == round(300 / (24 * 3600), 2)
    simulated = found["simulation"]
    assert (simulated["tasks"], simulated["slots"]) == (10, {"C": 2})
    [tier] = simulated["tiers"]
    assert tier["p99"] == pytest.approx(4 * 30 - 0.9, abs=0.5)


async def test_workers_that_serve_all_pools_are_shared_by_need(world: World) -> None:
    await world.ran("acme", 30, seconds=10, apart=0.1)
    await world.ran("globex", 10, seconds=10, apart=0.1)
    await world.database.execute(
        "INSERT INTO taskgate.process (process_id, kind, backend, host, pid, version, slots, lock_key)"
        " VALUES ('w', 'worker', 'temporal', 'h', 1, '0', 20, 1)"
    )
    found = await world.preview(stage="live", everything=True)
    assert {one["pool"]: one["slots_now"] for one in found["steps"][0]["pools"]} == {"B": 20, "C": 20}
    needs = {one["pool"]: one["slots"] for one in found["steps"][0]["pools"]}
    assert found["simulation"]["slots"] == {pool: 20 * slots // sum(needs.values()) for pool, slots in needs.items()}
    assert found["simulation"]["slots"]["C"] > found["simulation"]["slots"]["B"]


async def test_what_would_be_refused_or_changed_is_what_the_rehearsal_says(world: World) -> None:
    await world.ran("acme", 20)
    await world.ran("acme", 3, payload='{"text": "' + "x" * 20_000 + '"}')
    await world.database.execute(
        "UPDATE taskgate.dispatch SET wanted_backend = 'redis' WHERE task_id LIKE 'acme-backup-1-%'"
    )
    found = await world.preview(stage="live", tenant_id="acme")
    assert found["by_reference"] == 3
    starts = found["starts"]
    assert (starts["looked_at"], starts["ready"], starts["unknown"]) == (23, 0, 23)
    assert {one["code"]: one["tasks"] for one in starts["reasons"]} == {"wants_redis": 2, "temporal_not_configured": 23}


async def test_what_quotas_would_have_refused_or_held_is_said(world: World) -> None:
    """Of acme 40 tasks within ten seconds, which ran 60 s each; globex does not move, and umbrella's quota suffices."""
    await world.ran("acme", 40, payload='{"text": "1234567"}')
    for tenant in ("globex", "umbrella"):
        await world.ran(tenant, 40, apart=0.25)
    await world.database.execute(
        """
        UPDATE taskgate.dispatch SET project_id = 'p', created_at = at, claimed_at = at + interval '5 seconds',
                                     finished_at = at + interval '65 seconds'
        FROM (SELECT task_id AS id, date_trunc('hour', now()) - interval '1 hour'
                                    + make_interval(secs => row_number() OVER (ORDER BY created_at) * 0.25) AS at
              FROM taskgate.dispatch WHERE tenant_id = 'acme') AS one
        WHERE task_id = id
        """
    )
    await world.database.execute(
        "INSERT INTO taskgate.quota (tenant_id, project_id, queued, running, per_minute, bytes_per_day, set_by) VALUES"
        " ('acme', '', 15, 25, 30, NULL, 'ada'), ('acme', 'p', NULL, NULL, NULL, 100, 'ada'),"
        " ('acme', 'q', 0, 0, 0, 0, 'ada'), ('globex', '', 1, 1, 1, 1, 'ada'),"
        " ('umbrella', '', 40, 40, 40, 9000, 'ada')"
    )
    plan = "name: spring\nwhy: w\nwaves: [{tenants: [acme]}, {tenants: [umbrella]}]\n"
    found = (await world.preview(document=plan))["quotas"]
    assert {(one["project_id"], one["quota"]): one for one in found} == {
        (project, quota): {
            "tenant_id": "acme",
            "project_id": project,
            "quota": quota,
            "at_most": at_most,
            "most": most,
            "tasks": tasks,
            "effect": effect,
        }
        for project, quota, at_most, most, tasks, effect in (
            ("p", "bytes_per_day", 100, 40 * 19, 35, "refused"),
            (None, "per_minute", 30, 40, 10, "refused"),
            (None, "running", 25, 40, 15, "held"),
            (None, "queued", 15, 20, 25, "refused"),
        )
    }


async def test_bad_input_has_an_answer(world: World) -> None:
    with pytest.raises(NothingRecorded):
        await world.preview(stage="live", tenant_id="acme")
    await world.ran("acme", 1)
    with pytest.raises(TenantNotFound, match="there is no tenant 'nobody'"):
        await world.preview(stage="live", tenant_id="nobody")
    with pytest.raises(PlanNotFound):
        await world.preview(plan="autumn")
    with pytest.raises(PreviewRefused, match="the default is off for all already"):
        await world.preview(stage="off", percent=10)
    for wrong in (
        {},
        {"stage": "live"},
        {"stage": "live", "everything": True, "tenant_id": "acme"},
        {"plan": "spring", "tenant_id": "acme"},
        {"plan": "spring", "document": PLAN},
        {"stage": "live", "everything": True, "hours": 0},
        {"stage": "live", "everything": True, "hours": 169},
    ):
        with pytest.raises(ValidationError):
            ProposedChange(**wrong)


async def test_one_at_a_time(world: World) -> None:
    await world.ran("acme", 1)
    both = [world.preview(stage="live", tenant_id="acme") for _ in range(2)]
    found = await asyncio.gather(*both, return_exceptions=True)
    assert [type(one) for one in found if isinstance(one, Exception)] == [PreviewBusy]
    assert [one["tasks"] for one in found if isinstance(one, dict)] == [1]
    assert (await world.preview(stage="live", tenant_id="acme"))["tasks"] == 1


@pytest.mark.system
async def test_a_hundred_thousand_recorded_tasks_are_asked_about_by_a_sample(world: World, database_url: str) -> None:
    """A million take less than a minute: `make bench ONLY=preview`."""
    await fill(database_url, 100_000)
    found = await world.preview(stage="live", percent=50, unit="task")
    assert (found["tasks"], found["contexts"]) == (100_000, 40)
    assert 19_000 < found["sampled"] <= 20_000
    moved = found["steps"][0]["to_temporal"]
    assert moved["low"] < 50_000 < moved["high"]
    assert moved["high"] - moved["low"] < 1500


async def test_a_plan_of_two_thousand_tenants_in_twelve_waves(world: World) -> None:
    names = [f"tenant-{number}" for number in range(2000)]
    await world.database.execute(
        "INSERT INTO tenants (id, name, owner_id, plan) SELECT t, t, 'u', 'free' FROM unnest($1::text[]) AS t", names
    )
    await world.database.execute(
        "INSERT INTO taskgate.dispatch (task_id, tenant_id, group_id, task_type, state, created_at)"
        " SELECT t || k, t, t, k, 'waiting', now() FROM unnest($1::text[]) AS t, unnest('{a,b,c}'::text[]) AS k",
        names,
    )
    waves = "\n".join(f"- {{percent: {percent}}}" for percent in (1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 100))
    found = await world.preview(document=f"name: spring\nwhy: w\nwaves:\n{waves}\n", hours=168)
    moved = [step["to_temporal"]["tasks"] for step in found["steps"]]
    assert (len(moved), sum(moved), found["contexts"]) == (12, 6000, 6000)
    assert [step["pools"][0]["tasks"] for step in found["steps"]] == [sum(moved[: n + 1]) for n in range(12)]


async def test_one_that_takes_too_long_is_too_large(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(child.SQL._blocks, "session", child.SQL.session.replace("'90s'", "'100ms'"))
    question = Question(database_url, "task-backend", {"flags": {}}, {}, [], hours=1, inline_bytes=1)
    async with world.database.transaction() as other:
        await other.execute("LOCK TABLE taskgate.dispatch IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(PreviewTooLarge):
            await child._look(question)
