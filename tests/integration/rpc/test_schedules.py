"""`ScheduleService`: kept, looked at, run by hand."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from taskgate.v1 import (
    BackfillScheduleRequest,
    CreateScheduleRequest,
    DeleteScheduleRequest,
    FiringOutcome,
    GetScheduleRequest,
    ListFiringsRequest,
    ListSchedulesRequest,
    ListScheduleTimesRequest,
    NewTask,
    Overlap,
    PauseScheduleRequest,
    ResumeScheduleRequest,
    RunScheduleRequest,
    ScheduleDefinition,
    ScheduleSpec,
    UpdateScheduleRequest,
)

from workers.testing.waiting import until

Code = grpc.StatusCode


def definition(**more: Any) -> ScheduleDefinition:
    specs = more.pop("specs", [ScheduleSpec(cron="30 2 * * *")])
    return ScheduleDefinition(**{"name": "n", "specs": specs, "action": NewTask(task_type="probe")} | more)


async def create(face: Any, schedules: Any, name: str = "ann", **more: Any) -> str:
    request = CreateScheduleRequest(definition=definition(**more))
    answer = await schedules.CreateSchedule(request, metadata=face.world.metadata(name))
    return str(answer.schedule.schedule_id)


async def test_a_schedule_is_shown_as_it_was_written(face: Any, schedules: Any) -> None:
    every, moments = ScheduleSpec(), ScheduleSpec()
    every.every.seconds, every.offset.seconds = 3600, 60
    moments.at.moments.append("2031-01-01T00:00:00+00:00")
    calendar = ScheduleSpec()
    calendar.calendar.update({"hour": [8, 20], "day_of_week": "MON"})
    wanted = definition(
        name="nightly", specs=[every, moments, calendar], timezone="Europe/Berlin", overlap=Overlap.OVERLAP_BUFFER_ONE
    )
    wanted.jitter.seconds = 30
    wanted.remaining_runs = 5
    wanted.action.labels["a"] = "b"
    wanted.action.priority = 2
    request = CreateScheduleRequest(definition=wanted, idempotency_key="k")

    created, again = [await schedules.CreateSchedule(request, metadata=face.ann) for _ in range(2)]
    got = await schedules.GetSchedule(GetScheduleRequest(schedule_id=created.schedule.schedule_id), metadata=face.ann)

    assert (created.replayed, again.replayed) == (False, True)
    assert again.schedule == got.schedule == created.schedule
    shown = got.schedule.definition
    assert (shown.name, shown.timezone, shown.overlap) == ("nightly", "Europe/Berlin", Overlap.OVERLAP_BUFFER_ONE)
    assert (shown.jitter.seconds, shown.catch_up.seconds, shown.remaining_runs) == (30, 86400, 5)
    assert (shown.specs[0].every.seconds, shown.specs[0].offset.seconds) == (3600, 60)
    assert shown.specs[1].at.moments[0].startswith("2031-01-01T00:00:00")
    assert shown.specs[2].calendar["day_of_week"] == "MON"
    assert (got.schedule.tenant_id, got.schedule.user_id) == ("t-ann", "ann")
    assert got.schedule.action["labels"]["a"] == "b"
    assert got.schedule.next_at.ToDatetime(tzinfo=UTC) > datetime.now(UTC)


async def test_a_repetition_when_its_only_time_has_passed(face: Any, schedules: Any, refusal: Any) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)
    once = ScheduleSpec()
    once.at.moments.append(soon.isoformat())
    request = CreateScheduleRequest(definition=definition(specs=[once]), idempotency_key="k")
    created = await schedules.CreateSchedule(request, metadata=face.ann)
    await until(lambda: datetime.now(UTC) > soon)
    again = await schedules.CreateSchedule(request, metadata=face.ann)
    assert (again.replayed, again.schedule.schedule_id) == (True, created.schedule.schedule_id)
    request.idempotency_key = "other"
    refused = await refusal(schedules.CreateSchedule(request, metadata=face.ann))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, ["definition.specs[0]"])


async def test_times_run_pause_and_backfill(face: Any, schedules: Any) -> None:
    schedule_id = await create(face, schedules)

    times = await schedules.ListScheduleTimes(
        ListScheduleTimesRequest(schedule_id=schedule_id, count=3), metadata=face.ann
    )
    moments = [time.nominal_at.ToDatetime() for time in times.times]
    assert [after - before for before, after in itertools.pairwise(moments)] == [timedelta(days=1)] * 2

    run = await schedules.RunSchedule(RunScheduleRequest(schedule_id=schedule_id), metadata=face.ann)
    assert run.firing.outcome == FiringOutcome.FIRING_OUTCOME_FIRED
    query = "SELECT schedule_id FROM taskgate.dispatch WHERE task_id = $1"
    assert await face.gateway.database.fetchval(query, run.firing.task_id) == schedule_id

    paused = await schedules.PauseSchedule(
        PauseScheduleRequest(schedule_id=schedule_id, note="holidays"), metadata=face.ann
    )
    assert (paused.schedule.definition.paused, paused.schedule.definition.note) == (True, "holidays")
    assert not paused.schedule.HasField("next_at")
    resumed = await schedules.ResumeSchedule(ResumeScheduleRequest(schedule_id=schedule_id), metadata=face.ann)
    assert (resumed.schedule.definition.paused, resumed.schedule.definition.note) == (False, "holidays")

    past = BackfillScheduleRequest(schedule_id=schedule_id)
    past.start_at.FromDatetime(datetime.now(UTC) - timedelta(days=3, minutes=1))
    past.end_at.FromDatetime(datetime.now(UTC) - timedelta(minutes=1))
    filled = await schedules.BackfillSchedule(past, metadata=face.ann)
    assert (filled.times, filled.noted) == (3, 3)

    firings = await schedules.ListFirings(ListFiringsRequest(schedule_id=schedule_id), metadata=face.ann)
    assert len(firings.firings) == 4


async def test_pages_and_tenants(face: Any, schedules: Any, refusal: Any) -> None:
    mine = {await create(face, schedules) for _ in range(3)}
    foreign = await create(face, schedules, "bob")

    found, token = [], ""
    while True:
        request = ListSchedulesRequest(page_size=2, page_token=token)
        answer = await schedules.ListSchedules(request, metadata=face.ann)
        found += [schedule.schedule_id for schedule in answer.schedules]
        if not (token := answer.next_page_token):
            break
    assert (len(found), set(found)) == (3, mine)
    for call, request in (
        (schedules.GetSchedule, GetScheduleRequest(schedule_id=foreign)),
        (schedules.DeleteSchedule, DeleteScheduleRequest(schedule_id=foreign)),
        (schedules.PauseSchedule, PauseScheduleRequest(schedule_id=foreign)),
        (schedules.ResumeSchedule, ResumeScheduleRequest(schedule_id=foreign)),
        (schedules.RunSchedule, RunScheduleRequest(schedule_id=foreign)),
        (schedules.ListScheduleTimes, ListScheduleTimesRequest(schedule_id=foreign)),
        (schedules.ListFirings, ListFiringsRequest(schedule_id=foreign)),
    ):
        refused = await refusal(call(request, metadata=face.ann))
        assert (refused.code, refused.reason) == (Code.NOT_FOUND, "SCHEDULE_NOT_FOUND")
        assert (await refusal(call(request))).code is Code.UNAUTHENTICATED
    await schedules.DeleteSchedule(DeleteScheduleRequest(schedule_id=found[0]), metadata=face.ann)
    refused = await refusal(schedules.GetSchedule(GetScheduleRequest(schedule_id=found[0]), metadata=face.ann))
    assert refused.code is Code.NOT_FOUND


def invalid_definitions() -> list[Any]:
    half = ScheduleSpec()
    half.every.nanos = 5 * 10**8
    deadline = definition()
    deadline.action.deadline.FromDatetime(datetime.now(UTC) + timedelta(days=1))
    return [
        pytest.param(ScheduleDefinition(name="n"), "definition.action", id="no action"),
        pytest.param(definition(specs=[]), "definition.specs", id="no times"),
        pytest.param(definition(specs=[half]), "definition.specs[0].every", id="half a second"),
        pytest.param(definition(timezone="Mars/Base"), "definition.timezone", id="no such zone"),
        pytest.param(definition(overlap=99), "definition.overlap", id="no such overlap"),
        pytest.param(definition(name="\0"), "definition.name", id="NUL"),
        pytest.param(definition(action=NewTask(task_type="a b")), "definition.action.task_type", id="bad action"),
        pytest.param(deadline, "definition.action", id="an action with a deadline"),
    ]


@pytest.mark.parametrize(("wanted", "field"), invalid_definitions())
async def test_an_invalid_definition_names_its_field(
    face: Any, schedules: Any, refusal: Any, wanted: ScheduleDefinition, field: str
) -> None:
    refused = await refusal(schedules.CreateSchedule(CreateScheduleRequest(definition=wanted), metadata=face.ann))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, [field])


async def test_the_definition_is_changed(face: Any, schedules: Any, refusal: Any) -> None:
    schedule_id = await create(face, schedules, note="before", timezone="Europe/Berlin")
    update = UpdateScheduleRequest(schedule_id=schedule_id, definition=definition(specs=[ScheduleSpec(cron="@hourly")]))
    update.update_mask.paths.extend(["specs", "note", "jitter"])
    update.definition.jitter.seconds = 5
    changed = (await schedules.UpdateSchedule(update, metadata=face.ann)).schedule
    shown = changed.definition
    assert (shown.specs[0].cron, shown.jitter.seconds, shown.timezone) == ("@hourly", 5, "Europe/Berlin")
    assert not shown.HasField("note")

    whole = UpdateScheduleRequest(schedule_id=schedule_id, definition=definition(name="other"))
    whole.definition.action.priority = 1
    changed = (await schedules.UpdateSchedule(whole, metadata=face.ann)).schedule
    assert (changed.definition.name, changed.definition.jitter.seconds) == ("other", 0)
    assert changed.action["priority"] == 1
    assert (
        changed
        == (await schedules.GetSchedule(GetScheduleRequest(schedule_id=schedule_id), metadata=face.ann)).schedule
    )

    refused = await refusal(schedules.UpdateSchedule(whole, metadata=face.bob))
    assert refused.code is Code.NOT_FOUND


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"paths": ["nonsense"]}, "update_mask"),
        ({"paths": ["specs"], "specs": []}, "definition.specs"),
        ({"paths": ["timezone"], "timezone": "Moon/Sea"}, "definition"),
        ({"specs": [ScheduleSpec(cron="never")]}, "definition.specs[0]"),
        ({"action": NewTask(task_type="probe", tenant_id="t-bob")}, None),
        ({"action": NewTask()}, "definition.action.task_type"),
    ],
)
async def test_a_bad_change_names_its_field(
    face: Any, schedules: Any, refusal: Any, change: dict[str, Any], field: str | None
) -> None:
    schedule_id = await create(face, schedules)
    paths = change.pop("paths", [])
    update = UpdateScheduleRequest(schedule_id=schedule_id, definition=definition(**change))
    update.update_mask.paths.extend(paths)
    refused = await refusal(schedules.UpdateSchedule(update, metadata=face.ann))
    if field is None:
        assert refused.code is Code.PERMISSION_DENIED
    else:
        assert refused.code is Code.INVALID_ARGUMENT
        assert refused.fields[0].startswith(field)
