"""`/gateway/v1/pauses`: what is accepted and does not start."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.errors import InvalidRequest
from gateway.http.acceptance import json_answer
from gateway.http.administrators import require_administrator
from gateway.http.documents import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.limits.limits import Pause

router = APIRouter(prefix="/gateway/v1/pauses", tags=["pauses"], route_class=KeyedRoute)

Name = Annotated[str | None, Field(min_length=1, max_length=255)]


class PauseView(BaseModel):
    """A pause of everything that fits; null: any."""

    pause_id: str
    tenant_id: str | None
    project_id: str | None
    task_type: str | None
    why: str
    set_by: str
    set_at: datetime


class NewPause(BaseModel):
    """What is not to start: a tenant's tasks, a project's, those of a type, or what fits all that is given."""

    model_config = ConfigDict(extra="forbid")
    tenant_id: Name = None
    project_id: Name = None
    task_type: Name = None
    why: Annotated[str, Field(min_length=1, max_length=1000, description="For the audit")]


class PauseList(BaseModel):
    """The oldest first."""

    pauses: list[PauseView]


@router.get("", response_model=PauseList, responses=problem_errors())
async def list_pauses(request: Request) -> Response:
    """Pauses of the caller's tenants, and those of everybody's tasks."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    found = [pause for pause in await gateway.pauses.list() if pause.tenant_id is None or caller.sees(pause.tenant_id)]
    if not caller.is_admin:
        found = [pause for pause in found if pause.tenant_id is not None or pause.project_id is None]
    return json_answer({"pauses": [view(pause) for pause in found]})


@router.post(
    "",
    status_code=201,
    response_model=PauseView,
    responses={200: {"model": PauseView, "description": "It was paused already"}, **problem_errors(403, 404)},
)
async def add_pause(request: Request, pause: NewPause) -> Response:
    """Accept such tasks and start none; what runs goes on. For administrators."""
    gateway = gateway_of(request)
    caller = await require_administrator(request)
    if pause.tenant_id is None and pause.project_id is None and pause.task_type is None:
        raise InvalidRequest("Give tenant_id, project_id or task_type.", field="tenant_id")
    if pause.tenant_id is not None:
        await gateway.tenants.get(pause.tenant_id, caller)
    if pause.project_id is not None:
        await gateway.tenants.check_project(pause.project_id, pause.tenant_id)
    added, is_new = await gateway.pauses.add(
        pause.tenant_id, pause.project_id, pause.task_type, by=caller.user_id, why=pause.why
    )
    return json_answer(view(added), 201 if is_new else 200)


@router.delete("/{pause_id}", status_code=204, responses=problem_errors(403, 404))
async def resume(
    request: Request,
    pause_id: str,
    why: Annotated[str | None, Query(max_length=1000, description="For the audit")] = None,
) -> Response:
    """Resume: what waited starts, as far as no other pause holds it. For administrators."""
    caller = await require_administrator(request)
    await gateway_of(request).pauses.remove(pause_id, by=caller.user_id, why=why)
    return Response(status_code=204)


def view(pause: Pause) -> dict[str, Any]:
    """A pause as it is answered."""
    return asdict(pause)
