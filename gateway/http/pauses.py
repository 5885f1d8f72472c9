"""`/gateway/v1/pauses`: what is accepted and does not start."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.limits.limits import Pause
from gateway.limits.requests import NewPause

router = APIRouter(prefix="/gateway/v1/pauses", tags=["pauses"], route_class=KeyedRoute)


class PauseView(BaseModel):
    """A pause of the tasks that match all of its fields. Null matches any value."""

    pause_id: str
    tenant_id: str | None
    project_id: str | None
    task_type: str | None
    why: str
    set_by: str
    set_at: datetime


class PauseList(BaseModel):
    """Pauses, oldest first."""

    pauses: list[PauseView]


@router.get("", response_model=PauseList, responses=problem_errors())
async def list_pauses(request: Request) -> Response:
    """List the pauses of the caller's tenants, and those that name no tenant."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer({"pauses": [view(pause) for pause in await gateway.tenant_service.pauses(caller)]})


@router.post(
    "",
    status_code=201,
    response_model=PauseView,
    responses={
        200: {"model": PauseView, "description": "The same tasks were paused before; the response is that pause"},
        **problem_errors(403, 404),
    },
)
async def add_pause(request: Request, pause: NewPause) -> Response:
    """Pause tasks: matching tasks are accepted, but not started. Running tasks go on. For administrators."""
    caller = await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    added, is_new = await gateway_of(request).tenant_service.add_pause(caller, pause)
    return json_answer(view(added), 201 if is_new else 200)


@router.delete("/{pause_id}", status_code=204, responses=problem_errors(403, 404))
async def remove_pause(
    request: Request,
    pause_id: str,
    why: Annotated[str | None, Query(max_length=1000, description="Reason, for the audit log.")] = None,
) -> Response:
    """End a pause. The tasks that it holds start, unless another pause or a quota holds them. For administrators."""
    caller = await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    await gateway_of(request).pauses.remove(pause_id, by=caller.user_id, why=why)
    return Response(status_code=204)


def view(pause: Pause) -> dict[str, Any]:
    """A pause as it is answered."""
    return asdict(pause)
