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

Id = Annotated[str, Path(description="ID of the dead letter.")]


class DeadLetter(BaseModel):
    """A task that failed for good, or a payload in Redis that is not a valid task."""

    id: str
    kind: Kind = Field(
        description="`task`: a task that failed for good. `payload`: a payload that is not a valid task."
    )
    task_id: str | None = Field(description="The task. Of a payload: the task that a redrive made of it, if any.")
    tenant_id: str | None
    project_id: str | None
    group_id: str | None
    type: str | None = Field(description="Task type.")
    backend: str | None
    reason: Reason = Field(
        description="`attempts_exhausted`: the last attempt failed. `not_retryable`: the error does not allow "
        "another attempt. `refused`: the backend refused the task. `expired`: no worker began it by "
        "its deadline. `ended_elsewhere`: a legacy worker or the backend ended it, or several "
        "workers in a row were lost. `not_a_task`: an invalid payload."
    )
    error: str | None
    error_type: str | None = Field(description="Name of the exception class of the last error.")
    attempts: int = Field(description="Number of attempts.")
    labels: dict[str, str] | None
    died_at: datetime
    state: State
    closed_at: datetime | None = Field(description="When the dead letter was redriven or dismissed.")
    closed_by: str | None
    redrives: int = Field(description="Number of redrives.")
    bytes: int | None = Field(description="Size of a payload in bytes. Null for tasks.")


class FailedAttempt(Attempt):
    """One run of a task's handler."""

    stack: str | None = Field(
        description="Stack trace of the error and its causes, without values of variables. Null unless the "
        "caller is an administrator."
    )


class PayloadEdit(BaseModel):
    """A payload as it was before an edit."""

    edited_at: datetime
    edited_by: str
    payload: JsonValue


class DeadLetterDetail(DeadLetter):
    """A dead letter with its payload and attempts. Payloads are redacted."""

    payload: JsonValue
    payload_is_cut: bool = Field(description="Whether `payload` holds only the beginning.")
    history: list[FailedAttempt] = Field(description="Attempts of the task, in order.")
    edits: list[PayloadEdit] = Field(description="Previous versions of the payload.")


class DeadLetterPage(BaseModel):
    """Dead letters, newest first."""

    dead_letters: list[DeadLetter]
    next_cursor: str | None = Field(description="Cursor of the next page. Null on the last page.")


class DeadLetterGroup(BaseModel):
    """Dead letters of the same kind, with the same reason and the same type of error."""

    kind: Kind
    reason: Reason
    error_type: str | None = Field(
        description="Name of the exception class. Null: the errors have no type; `untyped` selects these dead letters."
    )
    letters: int = Field(description="Number of dead letters in the group.")
    tenants: int = Field(description="Number of tenants that they belong to.")
    types: list[str] = Field(description="Task types, 5 at most.")
    oldest_at: datetime
    newest_at: datetime
    newest_id: str
    error: str | None = Field(description="Error of the newest dead letter, at most 1000 characters.")


class DeadLetterGroups(BaseModel):
    """Groups, ordered by their newest dead letter, newest first."""

    groups: list[DeadLetterGroup]
    counted: int = Field(description="Number of dead letters in all groups, including groups beyond `limit`.")
    most: int = Field(
        description="Maximum number of dead letters that are counted. If more match, only the newest are counted."
    )


class Accepted(BaseModel):
    """The task that runs again."""

    task_id: str
    status: Literal["pending"]
    task_url: str


class RemovalReport(BaseModel):
    """What a step did, or would do in a dry run."""

    dry_run: bool
    matched: int = Field(description="Number of dead letters of this page.")
    removed: int = Field(description="Number of dead letters that were dismissed or deleted.")
    next_cursor: str | None = Field(description="Cursor of the next step. Null: there are no more.")


async def _caller(request: Request) -> Caller:
    return await gateway_of(request).access.authenticate(request.headers.get("authorization"))


def _which(
    tenant_id: Text | None = None,
    project_id: Text | None = None,
    type: Text | None = None,
    backend: Text | None = None,
    kind: Annotated[
        Kind | None,
        Query(
            description="Return only tasks (`task`), or only payloads that are not valid tasks (`payload`). Default: "
            "both."
        ),
    ] = None,
    reason: Annotated[
        Reason | None, Query(description="Return only dead letters with this reason. Default: all.")
    ] = None,
    error: Annotated[
        Text | None, Query(description="Return only dead letters whose error contains this text (case-insensitive).")
    ] = None,
    error_type: Text | None = None,
    untyped: Annotated[bool, Query(description="Return only dead letters whose error has no type.")] = False,
    died_after: Moment | None = None,
    died_before: Moment | None = None,
    label: Annotated[
        list[str] | None,
        Query(
            max_length=50,
            description="A label, as `key:value`. Repeat the parameter for several labels: a task must have all of "
            "them.",
        ),
    ] = None,
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
    """List the dead letters of the caller's tenants, newest first. Payloads whose tenant is unknown are visible only
    to administrators."""
    page = await gateway_of(request).dead_letters.list(await _caller(request), which, limit=limit, cursor=cursor)
    return json_answer({"dead_letters": page.letters, "next_cursor": page.cursor})


@router.get("/groups", response_model=DeadLetterGroups, responses=problem_errors())
async def group_dead_letters(
    request: Request, which: Which, limit: Annotated[int, Query(ge=1, le=_LARGEST_PAGE)] = _LARGEST_PAGE
) -> Response:
    """Count dead letters by kind, reason and type of the error. The filters are those of the list."""
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
    """Redrive the dead letters that match the filter, as an operation. `/gateway/v1/operations` shows its progress and
    can abort it.

    Status 409: the requested backend is not allowed for any of them.
    """
    gateway, caller = gateway_of(request), await _caller(request)
    options = RedriveOptions(caller.user_id, body.backend, body.spread_seconds, body.why)
    begun = await gateway.redrive_operations.begin(caller, body.filter, options, dry_run=body.dry_run)
    gateway.operation_runner.wake()
    return json_answer(begun, 200 if body.dry_run else 202)


@router.post("/dismiss", response_model=RemovalReport, responses=problem_errors())
async def dismiss_dead_letters(request: Request, body: ByFilter) -> Response:
    """Dismiss one page of the dead letters that match the filter. Repeat with `next_cursor` until it is null."""
    return await _remove(request, body, "dismiss")


@router.post("/purge", response_model=RemovalReport, responses=problem_errors())
async def purge_dead_letters(request: Request, body: ByFilter) -> Response:
    """Delete one page of the dead letters that match the filter. The tasks and their rows in `task_logs` stay."""
    return await _remove(request, body, "purge")


@router.get("/{id}", response_model=DeadLetterDetail, responses=problem_errors(404))
async def get_dead_letter(request: Request, id: Id) -> Response:
    """Return a dead letter: each attempt with its error, and the payload, redacted."""
    return json_answer(await gateway_of(request).dead_letters.get(await _caller(request), id))


@router.post("/{id}/redrive", status_code=202, response_model=Accepted, responses=problem_errors(403, 404, 409))
async def redrive_dead_letter(request: Request, id: Id, body: Redrive | None = None) -> Response:
    """Run the task of a dead letter again, optionally with an edited payload. If two redrives come at once, one of
    them is answered 409."""
    caller, wanted = await _caller(request), body or Redrive()
    options = RedriveOptions(caller.user_id, wanted.backend, why=wanted.why)
    task_id = await gateway_of(request).redriver.redrive(caller, id, options, wanted.edit)
    return json_answer({"task_id": task_id, "status": "pending", "task_url": f"/api/v1/tasks/{task_id}"}, 202)


@router.post("/{id}/dismiss", status_code=204, responses=problem_errors(404))
async def dismiss_dead_letter(request: Request, id: Id, body: Reasoned | None = None) -> Response:
    """Mark a dead letter as handled. The list returns it with `state=dismissed`."""
    caller = await _caller(request)
    why = body.why if body else None
    await gateway_of(request).dead_letters.dismiss(caller, id, actor=caller.user_id, why=why)
    return Response(status_code=204)


@router.delete("/{id}", status_code=204, responses=problem_errors(404))
async def purge_dead_letter(request: Request, id: Id) -> Response:
    """Delete a dead letter. The task and its row in `task_logs` stay."""
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
