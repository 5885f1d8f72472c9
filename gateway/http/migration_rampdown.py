"""`GET /gateway/v1/migration/rampdown`: what of a tenant moves, and what stays and why."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.migration.rampdown.report import RampdownReports, document
from gateway.routing.stages import Stage

router = APIRouter(prefix="/gateway/v1/migration", tags=["migration"], route_class=KeyedRoute)


class Staying(BaseModel):
    """Tasks that run where they are."""

    why: str = Field(
        description="`running`, `starting`, `legacy_worker` (one has it), `legacy_worker_before` (one had it, and its "
        "recovery pushed it again), `redrive` (wanted there), `dag`, or `stage_…`: the stage of its project or type"
    )
    tasks: int


class Rampdown(BaseModel):
    """Open tasks of one tenant, counted at one moment."""

    tenant_id: str
    stage: Stage = Field(description="The tenant's in general")
    dry_run: bool
    moves: int = Field(description="Nobody has begun them, and the stage sends them elsewhere")
    goes_back: int = Field(description="Of these, tasks that go back from Temporal")
    on_the_way: int = Field(description="They wait to be started now")
    later: int = Field(description="Delayed, or repeated after a pause; they follow the flag when they are due")
    held: int = Field(description="They wait for a quota or a pause")
    stays: list[Staying]
    problem: str | None = Field(description="What keeps tasks from moving now")


@router.get("/rampdown", response_model=Rampdown, responses=problem_errors(403, 404))
async def get_rampdown(
    request: Request,
    tenant_id: Annotated[str, Query(min_length=1, description="Of this tenant")],
    dry_run: Annotated[bool, Query(description="As if the tenant's stage were `rampdown`")] = False,
) -> Response:
    """What of a tenant's tasks moves, and what stays and why. Nothing is changed. For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    reports = RampdownReports(gateway.database, gateway.engines, gateway.router, is_down=gateway.dispatcher.is_down)
    report = await reports.read(tenant_id, dry_run=dry_run)
    return json_answer(document(report))
