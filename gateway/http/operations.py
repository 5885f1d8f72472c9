"""`/gateway/v1/operations`: one action on each task of a selection."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.dead_letters.filter import LetterFilter
from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.operations.operations import Action, OperationState, TaskSelection
from gateway.operations.request import NewOperation

router = APIRouter(prefix="/gateway/v1/operations", tags=["operations"], route_class=KeyedRoute)


class OperationError(BaseModel):
    """A task that the action was not applied to, and why."""

    task_id: str
    reason: str


class Operation(BaseModel):
    """An operation and its progress. `done`, `skipped` and `failed` add up to `total` at the end, unless tasks changed
    meanwhile."""

    operation_id: str
    action: Action
    state: OperationState
    dry_run: bool
    total: int = Field(description="Number of tasks that matched the filter when the operation began.")
    done: int = Field(description="Number of tasks that the action was applied to.")
    skipped: int = Field(description="Number of tasks for which the action was not, or no longer, possible.")
    failed: int = Field(description="Number of tasks for which the action was refused.")
    errors: list[OperationError] = Field(description="Some of the tasks that were skipped or failed, with the reasons.")
    sample: list[str] = Field(description="IDs of some matching tasks, 10 at most.")
    filter: TaskSelection | LetterFilter = Field(
        description="The filter of the request. A filter of dead letters if the operation redrives dead letters."
    )
    priority: int | None = Field(description="New priority. Only for `reprioritise`.")
    user_id: str
    tenant_ids: list[str] | None = Field(description="Tenants whose tasks the operation may act on. Null: all tenants.")
    why: str | None
    created_at: datetime
    finished_at: datetime | None


class Operations(BaseModel):
    """Operations, newest first."""

    operations: list[Operation]


@router.post(
    "",
    status_code=202,
    response_model=Operation,
    responses={200: {"model": Operation, "description": "The result of a dry run"}, **problem_errors(403)},
)
async def begin_operation(request: Request, operation: NewOperation) -> Response:
    """Begin an operation. It runs in the background; if the gateway that runs it ends, another one continues it."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    begun = await gateway.operations.begin(
        caller,
        operation.action,
        operation.filter,
        priority=operation.priority,
        dry_run=operation.dry_run,
        why=operation.why,
    )
    gateway.operation_runner.wake()
    return json_answer(begun, 200 if operation.dry_run else 202)


@router.get("", response_model=Operations, responses=problem_errors())
async def list_operations(
    request: Request,
    state: Annotated[OperationState | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """List the operations that the caller began, and those on tasks of its tenants only."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer({"operations": await gateway.operations.list(caller, state=state, limit=limit)})


@router.get("/{operation_id}", response_model=Operation, responses=problem_errors(404))
async def get_operation(request: Request, operation_id: str) -> Response:
    """Return an operation and its progress."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(await gateway.operations.get(operation_id, caller))


@router.post("/{operation_id}/abort", response_model=Operation, responses=problem_errors(404))
async def abort_operation(request: Request, operation_id: str) -> Response:
    """End an operation. What it has done so far stays done; an operation that is over does not change."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(await gateway.operations.abort(operation_id, caller))
