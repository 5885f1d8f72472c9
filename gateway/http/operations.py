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
    """A task that was not acted upon."""

    task_id: str
    reason: str


class Operation(BaseModel):
    """How far it has come. `done`, `skipped` and `failed` add up to `total`, unless tasks changed meanwhile."""

    operation_id: str
    action: Action
    state: OperationState
    dry_run: bool
    total: int
    done: int
    skipped: int = Field(description="Tasks that the action was no longer, or not, possible for")
    failed: int
    errors: list[OperationError] = Field(description="Some of those skipped or failed")
    sample: list[str] = Field(description="Some of the tasks")
    filter: TaskSelection | LetterFilter = Field(description="As asked for; the second one: of dead letters")
    priority: int | None
    user_id: str
    tenant_ids: list[str] | None = Field(description="Whose tasks; null: everybody's")
    why: str | None
    created_at: datetime
    finished_at: datetime | None


class Operations(BaseModel):
    """The latest first."""

    operations: list[Operation]


@router.post(
    "",
    status_code=202,
    response_model=Operation,
    responses={200: {"model": Operation, "description": "A dry run"}, **problem_errors(403)},
)
async def begin_operation(request: Request, operation: NewOperation) -> Response:
    """Begin an operation; it runs in the background, and goes on when a gateway ends."""
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
    """Operations of the caller, and on tasks of its tenants."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer({"operations": await gateway.operations.list(caller, state=state, limit=limit)})


@router.get("/{operation_id}", response_model=Operation, responses=problem_errors(404))
async def get_operation(request: Request, operation_id: str) -> Response:
    """How far an operation has come."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(await gateway.operations.get(operation_id, caller))


@router.post("/{operation_id}/abort", response_model=Operation, responses=problem_errors(404))
async def abort_operation(request: Request, operation_id: str) -> Response:
    """End an operation; what it has done stays done. One that is over stays as it is."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(await gateway.operations.abort(operation_id, caller))
