"""`/gateway/v1/dead-letters`: tasks that failed for good, payloads that are no task, and what may be done with them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.access.placement import Caller
from gateway.dead_letters.filter import Kind, LetterFilter, Reason, State, Text
from gateway.dead_letters.redrive import RedriveOptions
from gateway.dead_letters.requests import ByFilter, Reasoned, Redrive, RedriveByFilter
from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.operations import Operation
from gateway.http.route import KeyedRoute, gateway_of
from gateway.http.submissions import Attempt
from gateway.http.task_list import labels_of
from gateway.moment import Moment
from gateway.tasks.payload import JsonValue

router = APIRouter(prefix="/gateway/v1/dead-letters", tags=["dead-letters"], route_class=KeyedRoute)

_LARGEST_PAGE = 200

Id = Annotated[str, Path(description="Id of the dead letter")]


class DeadLetter(BaseModel):
    """A task that failed for good, or a payload in Redis that is no task."""

    id: str
    kind: Kind
    task_id: str | None = Field(description="The task; of a payload: the one that a redrive made of it")
    tenant_id: str | None
    project_id: str | None
    group_id: str | None
    type: str | None
    backend: str | None
    reason: Reason
    error: str | None
    error_type: str | None
    attempts: int
    labels: dict[str, str] | None
    died_at: datetime
    state: State
    closed_at: datetime | None
    closed_by: str | None
    redrives: int
    bytes: int | None = Field(description="Of a payload: its size")


class FailedAttempt(Attempt):
    """One run of a task's handler."""

    stack: str | None = Field(description="Frames of the error and its causes, without values; for administrators only")


class PayloadEdit(BaseModel):
    """A payload before it was edited."""

    edited_at: datetime
    edited_by: str
    payload: JsonValue


class DeadLetterDetail(DeadLetter):
    """A dead letter with all that is known of it; payloads are redacted."""

    payload: JsonValue
    payload_is_cut: bool
    history: list[FailedAttempt]
    edits: list[PayloadEdit]


class DeadLetterPage(BaseModel):
    """Newest first."""

    dead_letters: list[DeadLetter]
    next_cursor: str | None = Field(description="For the next page; null on the last one")


class DeadLetterGroup(BaseModel):
    """Dead letters that died of the same."""

    kind: Kind
    reason: Reason
    error_type: str | None = Field(description="null: the error has none; those are found with `untyped`")
    letters: int
    tenants: int = Field(description="To how many they belong")
    types: list[str] = Field(description="Types of tasks, five at most")
    oldest_at: datetime
    newest_at: datetime
    newest_id: str
    error: str | None = Field(description="Of the newest one, 1000 characters at most")


class DeadLetterGroups(BaseModel):
    """The group of the newest one first."""

    groups: list[DeadLetterGroup]
    counted: int = Field(description="Dead letters in all groups, and in those beyond the limit")
    most: int = Field(description="Of more than these, the newest were counted")


class Accepted(BaseModel):
    """The task that runs again."""

    task_id: str
    status: Literal["pending"]
    task_url: str


class RemovalReport(BaseModel):
    """What a step did, or would do."""

    dry_run: bool
    matched: int
    removed: int
    next_cursor: str | None


async def _caller(request: Request) -> Caller:
    return await gateway_of(request).access.authenticate(request.headers.get("authorization"))


def _which(
    tenant_id: Text | None = None,
    project_id: Text | None = None,
    type: Text | None = None,
    backend: Text | None = None,
    kind: Annotated[Kind | None, Query(description="`task`, or `payload`: what is no task")] = None,
    reason: Annotated[Reason | None, Query(description="Only those that failed for good for this reason")] = None,
    error: Annotated[Text | None, Query(description="A part of the error's text, whatever its case")] = None,
    error_type: Text | None = None,
    untyped: Annotated[bool, Query(description="Only those whose error has no type")] = False,
    died_after: Moment | None = None,
    died_before: Moment | None = None,
    label: Annotated[list[str] | None, Query(max_length=50, description="`name:value`, any number of times")] = None,
    state: State = "open",
) -> LetterFilter:
    return LetterFilter(
        tenant_id=tenant_id,
        project_id=project_id,
        type=type,
        backend=backend,
        kind=kind,
        reason=reason,
        error=error,
        error_type=error_type,
        untyped=untyped,
        died_after=died_after,
        died_before=died_before,
        labels=None if label is None else labels_of(label),
        state=state,
    )


Which = Annotated[LetterFilter, Depends(_which)]


@router.get("", response_model=DeadLetterPage, responses=problem_errors())
async def list_dead_letters(
    request: Request,
    which: Which,
    limit: Annotated[int, Query(ge=1, le=_LARGEST_PAGE)] = 50,
    cursor: Annotated[str | None, Query(max_length=3000)] = None,
) -> Response:
    """Dead letters of the caller's tenants, newest first. Payloads whose tenant is unknown: administrators only."""
    page = await gateway_of(request).dead_letters.list(await _caller(request), which, limit=limit, cursor=cursor)
    return json_answer({"dead_letters": page.letters, "next_cursor": page.cursor})


@router.get("/groups", response_model=DeadLetterGroups, responses=problem_errors())
async def group_dead_letters(
    request: Request, which: Which, limit: Annotated[int, Query(ge=1, le=_LARGEST_PAGE)] = _LARGEST_PAGE
) -> Response:
    """The same by kind, reason and type of the error, the group of the newest one first."""
    return json_answer(
        asdict(await gateway_of(request).dead_letters.groups(await _caller(request), which, limit=limit))
    )


@router.post(
    "/redrive",
    status_code=202,
    response_model=Operation,
    responses={200: {"model": Operation, "description": "A dry run"}, **problem_errors(409)},
)
async def redrive_dead_letters(request: Request, body: RedriveByFilter) -> Response:
    """Redrive what matches, as an operation (`/gateway/v1/operations`: progress, abort). 409 when the asked backend is
    not allowed for any of them."""
    gateway, caller = gateway_of(request), await _caller(request)
    options = RedriveOptions(caller.user_id, body.backend, body.spread_seconds, body.why)
    begun = await gateway.redrive_operations.begin(caller, body.filter, options, dry_run=body.dry_run)
    gateway.operation_runner.wake()
    return json_answer(begun, 200 if body.dry_run else 202)


@router.post("/dismiss", response_model=RemovalReport, responses=problem_errors())
async def dismiss_dead_letters(request: Request, body: ByFilter) -> Response:
    """Dismiss what matches, a step at a time."""
    return await _remove(request, body, "dismiss")


@router.post("/purge", response_model=RemovalReport, responses=problem_errors())
async def purge_dead_letters(request: Request, body: ByFilter) -> Response:
    """Delete what matches, a step at a time. The tasks and their rows in `task_logs` stay."""
    return await _remove(request, body, "purge")


@router.get("/{id}", response_model=DeadLetterDetail, responses=problem_errors(404))
async def get_dead_letter(request: Request, id: Id) -> Response:
    """One dead letter: every attempt with its error and stack, and the payload, redacted."""
    return json_answer(await gateway_of(request).dead_letters.get(await _caller(request), id))


@router.post("/{id}/redrive", status_code=202, response_model=Accepted, responses=problem_errors(403, 404, 409))
async def redrive_dead_letter(request: Request, id: Id, body: Redrive | None = None) -> Response:
    """Run it again, perhaps with an edited payload. Of two redrives at once one has an effect, the other is 409."""
    caller, wanted = await _caller(request), body or Redrive()
    options = RedriveOptions(caller.user_id, wanted.backend, why=wanted.why)
    task_id = await gateway_of(request).redriver.redrive(caller, id, options, wanted.edit)
    return json_answer({"task_id": task_id, "status": "pending", "task_url": f"/api/v1/tasks/{task_id}"}, 202)


@router.post("/{id}/dismiss", status_code=204, responses=problem_errors(404))
async def dismiss_dead_letter(request: Request, id: Id, body: Reasoned | None = None) -> Response:
    """It needs nothing any more; it is still found with `state=dismissed`."""
    caller = await _caller(request)
    why = body.why if body else None
    await gateway_of(request).dead_letters.dismiss(caller, id, actor=caller.user_id, why=why)
    return Response(status_code=204)


@router.delete("/{id}", status_code=204, responses=problem_errors(404))
async def purge_dead_letter(request: Request, id: Id) -> Response:
    """Delete the dead letter. The task and its row in `task_logs` stay."""
    caller = await _caller(request)
    await gateway_of(request).dead_letters.purge(caller, id, actor=caller.user_id)
    return Response(status_code=204)


async def _remove(request: Request, body: ByFilter, what: str) -> Response:
    caller = await _caller(request)
    done = await gateway_of(request).dead_letters.remove_many(
        what,
        caller,
        body.filter,
        limit=body.limit,
        cursor=body.cursor,
        dry_run=body.dry_run,
        actor=caller.user_id,
        why=body.why,
    )
    report = {"matched": done.matched, "removed": done.done, "next_cursor": done.cursor}
    return json_answer({"dry_run": body.dry_run, **report})
