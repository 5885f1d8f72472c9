"""`MigrationService`: drains and rampdowns, for administrators."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import grpc
import pytest
from taskgate.v1 import (
    ActOnPlanRequest,
    DrainRequest,
    DrainVerdict,
    DryRunPlanRequest,
    GetGuardrailsRequest,
    GetParityRequest,
    GetPlanRequest,
    GetPlanSchemaRequest,
    GetRampdownRequest,
    GuardrailPhase,
    ListGuardrailEventsRequest,
    ListPlansRequest,
    MigrationServiceStub,
    ParityVerdict,
    PreviewStagesRequest,
    PutPlanRequest,
    SetGuardrailRequest,
    UnfreezeGuardrailsRequest,
    UnlockGuardrailRequest,
    ValidatePlanRequest,
    WatchDrainRequest,
    WatchParityRequest,
)

Code = grpc.StatusCode


@pytest.fixture
def migration(face: Any) -> MigrationServiceStub:
    return MigrationServiceStub(face.channel)


async def test_a_drain(face: Any, migration: Any) -> None:
    task_id = await face.submit()
    await face.begin(task_id)
    report = (await migration.Drain(DrainRequest(), metadata=face.root)).report
    assert report.left.verdict == DrainVerdict.DRAIN_VERDICT_BLOCKED  # there is no Redis here
    assert (report.left.tasks, report.left.counts.running, report.postgresql) == (1, 1, 1)
    assert not report.HasField("redis")
    assert [left.tenant_id for left in report.tenants] == ["t-ann"]
    assert [(slow.task_id, slow.state) for slow in report.slowest] == [(task_id, "running")]
    report = (await migration.Drain(DrainRequest(tenant_id="t-bob"), metadata=face.root)).report
    assert (report.left.tenant_id, report.left.stage, report.left.tasks) == ("t-bob", "off", 0)


async def test_it_is_watched(face: Any, migration: Any) -> None:
    task_id = await face.submit()
    await face.begin(task_id)
    call = migration.WatchDrain(WatchDrainRequest(), metadata=face.root, timeout=60)
    assert (await call.read()).report.left.counts.running == 1
    await face.gateway.database.execute("UPDATE taskgate.dispatch SET state = 'completed', finished_at = now()")
    while (await call.read()).report.left.counts.running:
        pass
    face.gateway.drain_watch.end_streams()
    assert await call.code() is Code.UNAVAILABLE


async def test_who_may(face: Any, migration: Any, refusal: Any) -> None:
    refused = await refusal(migration.Drain(DrainRequest(), metadata=face.ann))
    assert refused.code is Code.PERMISSION_DENIED
    refused = await refusal(migration.Drain(DrainRequest(tenant_id="nobody"), metadata=face.root))
    assert (refused.code, refused.reason) == (Code.NOT_FOUND, "TENANT_NOT_FOUND")


async def test_a_rampdown(face: Any, migration: Any, refusal: Any) -> None:
    await face.begin(await face.submit())
    asked = GetRampdownRequest(tenant_id="t-ann", dry_run=True)
    report = (await migration.GetRampdown(asked, metadata=face.root)).report
    assert (report.tenant_id, report.stage, report.dry_run, report.moves) == ("t-ann", "off", True, 0)
    assert report.problem == "stage rampdown asks for temporal, which is not configured here"
    await face.gateway.database.execute("UPDATE taskgate.dispatch SET state = 'waiting', held = 'quota:running'")
    report = (await migration.GetRampdown(asked, metadata=face.root)).report
    assert (report.held, list(report.stays)) == (1, [])
    refused = await refusal(migration.GetRampdown(asked, metadata=face.ann))
    assert refused.code is Code.PERMISSION_DENIED
    refused = await refusal(migration.GetRampdown(GetRampdownRequest(tenant_id="nobody"), metadata=face.root))
    assert (refused.code, refused.reason) == (Code.NOT_FOUND, "TENANT_NOT_FOUND")


async def test_parity_of_a_tenant(face: Any, migration: Any) -> None:
    report = (await migration.GetParity(GetParityRequest(tenant_id="t-ann"), metadata=face.root)).report
    assert (report.tenant_id, report.stage, report.verdict) == ("t-ann", "off", ParityVerdict.PARITY_VERDICT_NO_DATA)
    assert not report.HasField("since")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await migration.GetParity(GetParityRequest(), metadata=face.root)
    assert error.value.code() is Code.INVALID_ARGUMENT


async def test_parity_is_watched(face: Any, migration: Any) -> None:
    call = migration.WatchParity(WatchParityRequest(tenant_id="t-ann"), metadata=face.ann, timeout=60)
    assert (await call.read()).report.stage == "off"
    await move_by_ledger(face.gateway.database, "t-ann")
    while not (await call.read()).report.HasField("since"):
        pass
    face.gateway.parity_watch.end_streams()
    assert await call.code() is Code.UNAVAILABLE
    for tenant, code in (("t-bob", Code.NOT_FOUND), ("", Code.INVALID_ARGUMENT)):
        refused = migration.WatchParity(WatchParityRequest(tenant_id=tenant), metadata=face.ann)
        assert await refused.code() is code


async def move_by_ledger(database: Any, tenant_id: str) -> None:
    """An entry that says that it moved an hour ago."""
    await database.execute(
        "INSERT INTO taskgate.ledger (id, at, kind, source, scope, before, after, who, why, version, evidence,"
        " previous_hash, hash) SELECT COALESCE(max(id), 0) + 1, now() - interval '1 h', 'flip', 'file', $1, 'off',"
        " 'live', 'ada', '', '', '{}', '', '' FROM taskgate.ledger",
        f"tenant:{tenant_id}",
    )


async def test_guardrails_are_set_shown_and_told(face: Any, migration: Any, refusal: Any) -> None:
    asked = SetGuardrailRequest(tenant_id="t-ann", dry_run=True, on_threshold="hold", why="first week")
    asked.queue_age.FromSeconds(90)
    [made] = (await migration.SetGuardrail(asked, metadata=face.root)).guardrails
    assert (made.policy.dry_run, made.policy.on_threshold, made.policy.queue_age.ToSeconds()) == (True, "hold", 90)
    found = await migration.GetGuardrails(GetGuardrailsRequest(tenant_id="t-ann"), metadata=face.root)
    assert found.guardrails[0].phase == GuardrailPhase.GUARDRAIL_PHASE_RESTING
    assert [one.scope for one in found.settings] == ["tenant:t-ann"]
    assert not found.HasField("frozen")
    events = await migration.ListGuardrailEvents(ListGuardrailEventsRequest(), metadata=face.root)
    assert [(one.kind, one.who) for one in events.events] == [("changed", "root")]
    refused = await refusal(
        migration.UnlockGuardrail(UnlockGuardrailRequest(tenant_id="t-ann", why="x"), metadata=face.root)
    )
    assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "GUARDRAIL_REFUSED")
    refused = await refusal(migration.UnfreezeGuardrails(UnfreezeGuardrailsRequest(why="x"), metadata=face.root))
    assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "GUARDRAIL_REFUSED")
    refused = await refusal(migration.SetGuardrail(SetGuardrailRequest(tier="gold", why="x"), metadata=face.root))
    assert refused.code is Code.INVALID_ARGUMENT
    refused = await refusal(migration.GetGuardrails(GetGuardrailsRequest(), metadata=face.ann))
    assert refused.code is Code.PERMISSION_DENIED


async def test_a_plan_is_checked_written_and_steered(face: Any, migration: Any, refusal: Any) -> None:
    text = "name: spring\nwhy: the move\nbake: 90s\nwaves: [{tenants: [t-ann]}]\n"
    wrong = await migration.ValidatePlan(
        ValidatePlanRequest(document=text.replace("ann", "nobody")), metadata=face.root
    )
    assert (wrong.valid, [(one.code, one.place, one.line) for one in wrong.faults]) == (
        False,
        [("unknown_tenant", "/waves/0/tenants/0", 4)],
    )
    right = await migration.ValidatePlan(ValidatePlanRequest(document=text), metadata=face.root)
    assert (right.valid, right.waves[0].bake.ToSeconds(), list(right.waves[0].first)) == (True, 90, ["t-ann"])
    made = (await migration.PutPlan(PutPlanRequest(name="spring", document=text), metadata=face.root)).plan
    assert (made.state, made.waves[0].waiting, made.HasField("wave"), made.created_by) == ("draft", 1, False, "root")
    stale = PutPlanRequest(name="spring", document=text, based_on=made.version + 1)
    refused = await refusal(migration.PutPlan(stale, metadata=face.root))
    assert (refused.code, refused.reason) == (Code.ABORTED, "PLAN_STALE")
    act = ActOnPlanRequest(name="spring", act="pause", why="w")
    refused = await refusal(migration.ActOnPlan(act, metadata=face.root))
    assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "PLAN_REFUSED")
    act = ActOnPlanRequest(name="spring", act="abort", why="not today")
    ended = (await migration.ActOnPlan(act, metadata=face.root)).plan
    assert (ended.state, [step.why for step in ended.steps]) == ("aborted", ["abort: not today", "written: the move"])
    found = (await migration.GetPlan(GetPlanRequest(name="spring"), metadata=face.root)).plan
    assert (found.document, found.version) == (text, ended.version)
    assert [one.name for one in (await migration.ListPlans(ListPlansRequest(), metadata=face.root)).plans] == ["spring"]
    schema = (await migration.GetPlanSchema(GetPlanSchemaRequest(), metadata=face.root)).schema
    assert schema["title"] == "Plan"
    refused = await refusal(migration.GetPlan(GetPlanRequest(name="autumn"), metadata=face.root))
    assert (refused.code, refused.reason) == (Code.NOT_FOUND, "PLAN_NOT_FOUND")
    refused = await refusal(migration.ListPlans(ListPlansRequest(), metadata=face.ann))
    assert refused.code is Code.PERMISSION_DENIED


async def test_a_tenant_of_a_plan_is_counted_anew(face: Any, migration: Any, refusal: Any) -> None:
    text = "name: spring\nwhy: w\ngates: {parity: {}}\nwaves: [{tenants: [t-ann]}]\n"
    await migration.PutPlan(PutPlanRequest(name="spring", document=text), metadata=face.root)
    await migration.ActOnPlan(ActOnPlanRequest(name="spring", act="start", why="go"), metadata=face.root)
    asked = ActOnPlanRequest(name="spring", act="recount", why="mended", tenant_id="t-ann")
    refused = await refusal(migration.ActOnPlan(asked, metadata=face.root))
    assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "PLAN_REFUSED")
    await face.gateway.database.execute("UPDATE taskgate.plan_tenant SET state = 'moved'")
    [one] = (await migration.ActOnPlan(asked, metadata=face.root)).plan.recounts
    assert (one.tenant_id, one.wave, one.who, one.why, one.times) == ("t-ann", 1, "root", "mended", 1)
    at = await face.gateway.database.fetchval("SELECT counts_from FROM taskgate.plan_tenant")
    assert one.counts_from.ToDatetime(UTC) == at
    refused = await refusal(migration.ActOnPlan(asked, metadata=face.ann))
    assert refused.code is Code.PERMISSION_DENIED


async def test_a_preview_and_the_dry_run_of_a_plan(face: Any, migration: Any, refusal: Any) -> None:
    text = "name: spring\nwhy: the move\nwaves: [{tenants: [t-ann]}, {tenants: [t-bob]}]\n"
    refused = await refusal(migration.DryRunPlan(DryRunPlanRequest(document=text), metadata=face.root))
    assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "NOTHING_RECORDED")
    await face.submit()
    await face.world.database.execute(
        "INSERT INTO taskgate.quota (tenant_id, per_minute, set_by) VALUES ('t-ann', 0, 'root')"
    )
    asked = PreviewStagesRequest(stage="live", tenant_id="t-ann", hours=1)
    found = (await migration.PreviewStages(asked, metadata=face.root)).preview
    [over] = found.quotas
    assert (over.tenant_id, over.quota, over.most, over.tasks, over.effect) == ("t-ann", "per_minute", 1, 1, "refused")
    assert not over.HasField("project_id")
    assert (found.tasks, found.hours, found.steps[0].to_temporal.tasks, found.steps[0].tenants) == (1, 1, 1, 1)
    assert [one.tenant_id for one in found.steps[0].most] == ["t-ann"]
    waves = (await migration.DryRunPlan(DryRunPlanRequest(document=text), metadata=face.root)).preview.steps
    assert [(one.title, one.to_temporal.tasks) for one in waves] == [("wave 1", 1), ("wave 2", 0)]
    wrong = DryRunPlanRequest(document=text.replace("t-bob", "t-nobody"))
    refused = await refusal(migration.DryRunPlan(wrong, metadata=face.root))
    assert (refused.code, refused.reason) == (Code.INVALID_ARGUMENT, "PLAN_INVALID")
    refused = await refusal(migration.PreviewStages(PreviewStagesRequest(stage="live"), metadata=face.root))
    assert refused.code is Code.INVALID_ARGUMENT
    refused = await refusal(migration.PreviewStages(asked, metadata=face.ann))
    assert refused.code is Code.PERMISSION_DENIED
