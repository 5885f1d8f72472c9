"""`/gateway/v1/schedules`: tasks that are submitted again and again, by the clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.access.placement import Caller
from gateway.http.acceptance import IDEMPOTENCY_PARAMETER, RepeatableRoute, accept, json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import gateway_of
from gateway.http.submissions import service_of
from gateway.http.unknown_fields import with_hints
from gateway.moment import Moment
from gateway.schedules.definition import Overlap, ScheduleDefinition
from gateway.schedules.placing import prepare_placed
from gateway.schedules.redefining import redefine
from gateway.schedules.schedule import Schedule
from gateway.schedules.schedules import in_utc
from gateway.submission.new_task import NewTask
from gateway.submission.requests import TaskSubmission

router = APIRouter(prefix="/gateway/v1/schedules", tags=["schedules"], route_class=RepeatableRoute)


class ScheduleView(ScheduleDefinition):
    """A schedule."""

    schedule_id: str
    tenant_id: str | None
    project_id: str | None
    user_id: str = Field(description="User whose rights the tasks are submitted with: who last changed `action`.")
    next_at: datetime | None = Field(description="Next time. Null if there is none, or if it is paused.")
    created_at: datetime
    updated_at: datetime


class SchedulePage(BaseModel):
    """Schedules, ordered by ID. `next` is the `after` of the next page; null on the last page."""

    schedules: list[ScheduleView]
    next: str | None


class FireTime(BaseModel):
    """A time in the future. `fire_at` is `nominal_at` plus the jitter; `local` is `nominal_at` in the time zone."""

    nominal_at: datetime
    fire_at: datetime
    local: str


class NextTimes(BaseModel):
    """The next times. Of a paused schedule: the times if it were resumed now."""

    times: list[FireTime]


class Firing(BaseModel):
    """The result of one time."""

    nominal_at: datetime
    until_at: datetime | None = Field(description="Only for `missed`: covers all times before this.")
    fire_at: datetime
    kind: Literal["clock", "manual", "backfill"]
    overlap: Overlap
    outcome: Literal["pending", "fired", "skipped", "refused", "missed"]
    reason: str | None
    task_id: str | None
    task_state: str | None = Field(description="Present state of the task.")
    decided_at: datetime | None


class History(BaseModel):
    """Firings, latest first."""

    firings: list[Firing]


class Note(BaseModel):
    """A note for the schedule. Left out: the note does not change."""

    model_config = ConfigDict(extra="forbid")
    note: Annotated[str, Field(max_length=1000)] | None = None


class Run(BaseModel):
    """`overlap` replaces the schedule's overlap policy for this firing. Default: the schedule's."""

    model_config = ConfigDict(extra="forbid")
    overlap: Overlap | None = None


class Backfill(BaseModel):
    """A range of at most 10,000 times; both ends are included. Times that already have a task are left alone."""

    model_config = ConfigDict(extra="forbid")
    start_at: Moment
    end_at: Moment
    overlap: Overlap = Overlap.BUFFER_ALL


class Backfilled(BaseModel):
    """`times`: number of times in the range. `noted`: number of them that fire now."""

    times: int
    noted: int


@router.post(
    "",
    status_code=201,
    response_model=ScheduleView,
    responses=problem_errors(403, 404, 409),
    openapi_extra=IDEMPOTENCY_PARAMETER,
)
async def create_schedule(request: Request, definition: ScheduleDefinition) -> Response:
    """Create a schedule. The rights to submit its action are checked now, and again at each firing."""
    schedules = gateway_of(request).schedules
    definition, caller, task = await prepare_placed(definition, partial(_prepare, request))
    schedule = await schedules.plan(definition, task.placement, caller.user_id)
    answer = await accept(
        request, caller, [], _view(schedule), status=201, beside=lambda db: schedules.insert(db, schedule)
    )
    schedules.wake()
    return answer


@router.get("", response_model=SchedulePage, responses=problem_errors())
async def list_schedules(
    request: Request,
    tenant_id: Annotated[str | None, Query(min_length=1)] = None,
    project_id: Annotated[str | None, Query(min_length=1)] = None,
    after: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """List the schedules of the caller's tenants."""
    caller = await _caller(request)
    found = await gateway_of(request).schedules.page(
        caller, tenant_id=tenant_id, project_id=project_id, after=after, limit=limit
    )
    following = found[-1].schedule_id if len(found) == limit else None
    return json_answer({"schedules": [_view(schedule) for schedule in found], "next": following})


@router.get("/{schedule_id}", response_model=ScheduleView, responses=problem_errors(404))
async def get_schedule(request: Request, schedule_id: str) -> Response:
    """Return a schedule."""
    return json_answer(_view(await gateway_of(request).schedules.get(schedule_id, await _caller(request))))


@router.put("/{schedule_id}", response_model=ScheduleView, responses=problem_errors(403, 404, 409))
async def replace_schedule(request: Request, schedule_id: str, definition: ScheduleDefinition) -> Response:
    """Replace the definition of a schedule. Fields that are left out get their defaults."""
    return await _change(request, schedule_id, lambda _: definition.model_dump(mode="json"), is_action_new=True)


@router.patch("/{schedule_id}", response_model=ScheduleView, responses=problem_errors(403, 404, 409))
async def patch_schedule(request: Request, schedule_id: str, patch: Annotated[dict[str, Any], Body()]) -> Response:
    """Change parts of the definition: a JSON merge patch (RFC 7396). Null sets a field to its default."""
    return await _change(request, schedule_id, lambda before: _merged(before, patch), is_action_new="action" in patch)


@router.delete("/{schedule_id}", status_code=204, responses=problem_errors(404))
async def delete_schedule(request: Request, schedule_id: str) -> Response:
    """Delete a schedule and its history. The tasks that it has submitted stay."""
    await gateway_of(request).schedules.delete(schedule_id, await _caller(request))
    return Response(status_code=204)


@router.post("/{schedule_id}/pause", response_model=ScheduleView, responses=problem_errors(404, 409))
async def pause_schedule(request: Request, schedule_id: str, body: Note | None = None) -> Response:
    """Pause a schedule. Times that pass meanwhile do not fire later; use `backfill` for them."""
    return await _pause(request, schedule_id, body, is_paused=True)


@router.post("/{schedule_id}/resume", response_model=ScheduleView, responses=problem_errors(404, 409))
async def resume_schedule(request: Request, schedule_id: str, body: Note | None = None) -> Response:
    """Resume a paused schedule."""
    return await _pause(request, schedule_id, body, is_paused=False)


@router.post("/{schedule_id}/run", status_code=202, response_model=Firing, responses=problem_errors(404))
async def run_schedule(request: Request, schedule_id: str, body: Run | None = None) -> Response:
    """Fire a schedule now, even if it is paused. The response is the result."""
    caller = await _caller(request)
    overlap = None if body is None else body.overlap
    return json_answer(await gateway_of(request).schedules.run(schedule_id, caller, overlap), 202)


@router.post("/{schedule_id}/backfill", status_code=202, response_model=Backfilled, responses=problem_errors(404))
async def backfill_schedule(request: Request, schedule_id: str, body: Backfill) -> Response:
    """Fire the past times of a range that have no task yet, also times before the schedule was created."""
    caller = await _caller(request)
    times, noted = await gateway_of(request).schedules.backfill(
        schedule_id, caller, in_utc(body.start_at), in_utc(body.end_at), body.overlap
    )
    return json_answer({"times": times, "noted": noted}, 202)


@router.get("/{schedule_id}/next", response_model=NextTimes, responses=problem_errors(404))
async def list_next_times(
    request: Request,
    schedule_id: str,
    count: Annotated[int, Query(ge=1, le=100, description="Number of times to return.")] = 10,
) -> Response:
    """List the next times of a schedule."""
    schedules = gateway_of(request).schedules
    schedule = await schedules.get(schedule_id, await _caller(request))
    times = [
        {"nominal_at": nominal, "fire_at": fire_at, "local": schedule.local(nominal)}
        for nominal, fire_at in schedules.upcoming(schedule, count)
    ]
    return json_answer({"times": times})


@router.get("/{schedule_id}/history", response_model=History, responses=problem_errors(404))
async def get_schedule_history(
    request: Request,
    schedule_id: str,
    before: Annotated[Moment | None, Query(description="Return only firings before this time.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Response:
    """List the results of past times, latest first. For the next page, give the last `nominal_at` as `before`."""
    caller = await _caller(request)
    moment = None if before is None else in_utc(before)
    firings = await gateway_of(request).schedules.history(schedule_id, caller, before=moment, limit=limit)
    return json_answer({"firings": firings})


async def _caller(request: Request) -> Caller:
    return await gateway_of(request).access.authenticate(request.headers.get("authorization"))


async def _prepare(request: Request, action: TaskSubmission) -> tuple[Caller, NewTask]:
    return await service_of(request).prepare(action)


async def _change(request: Request, schedule_id: str, change: Any, *, is_action_new: bool) -> Response:
    """`change` makes the new document of the old definition; a new action is checked by the caller's rights."""
    caller = await _caller(request)
    changed = await redefine(
        gateway_of(request).schedules,
        schedule_id,
        caller,
        lambda before: _parsed(change(before)),
        partial(_prepare, request) if is_action_new else None,
    )
    return json_answer(_view(changed))


async def _pause(request: Request, schedule_id: str, body: Note | None, *, is_paused: bool) -> Response:
    update: dict[str, Any] = {"paused": is_paused}
    if body is not None and body.note is not None:
        update["note"] = body.note
    schedules, caller = gateway_of(request).schedules, await _caller(request)
    changed = await schedules.change(schedule_id, caller, lambda before: before.model_copy(update=update))
    return json_answer(_view(changed))


def _parsed(document: Any) -> ScheduleDefinition:
    try:
        return ScheduleDefinition.model_validate(document)
    except ValidationError as error:
        found = with_hints(ScheduleDefinition, error.errors(include_url=False))
        raise RequestValidationError([{**detail, "loc": ("body", *detail["loc"])} for detail in found]) from None


def _merged(before: ScheduleDefinition, patch: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = _merge(before.model_dump(mode="json", exclude_none=True), patch)
    return merged


def _merge(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merge(result.get(name), value)
    return result


def _view(schedule: Schedule) -> dict[str, Any]:
    names = ("schedule_id", "tenant_id", "project_id", "user_id", "created_at", "updated_at")
    return {
        **schedule.definition.model_dump(mode="json"),
        **{name: getattr(schedule, name) for name in names},
        "next_at": None if schedule.definition.paused else schedule.next_at,
    }
