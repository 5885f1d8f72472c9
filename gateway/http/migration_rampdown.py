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
    """Tasks that are not moved."""

    why: str = Field(
        description="Why: `running`; `starting`; `legacy_worker` (a legacy worker has it); "
        "`legacy_worker_before` (one had it, and its recovery pushed it again); `redrive` (it was "
        "asked to run there); `dag`; or `stage_…` (the stage of its project or task type)."
    )
    tasks: int = Field(description="Number of tasks.")


class Rampdown(BaseModel):
    """Unfinished tasks of one tenant, counted at one moment."""

    tenant_id: str
    stage: Stage = Field(description="Migration stage of the tenant. Its projects and task types may have others.")
    dry_run: bool
    moves: int = Field(description="Tasks that no worker has begun and that move to the other backend.")
    goes_back: int = Field(description="Of `moves`, tasks that go back from Temporal to Redis.")
    on_the_way: int = Field(description="Tasks that are about to be started.")
    later: int = Field(
        description="Delayed tasks, and tasks that wait for their next attempt. They follow the flag when they are due."
    )
    held: int = Field(description="Tasks that are held by a quota or a pause.")
    stays: list[Staying] = Field(description="Tasks that are not moved, by reason.")
    problem: str | None = Field(description="What keeps tasks from moving now. Null: nothing.")


@router.get("/rampdown", response_model=Rampdown, responses=problem_errors(403, 404))
async def get_rampdown(
    request: Request,
    tenant_id: Annotated[str, Query(min_length=1, description="The tenant.")],
    dry_run: Annotated[bool, Query(description="Report as if the tenant were at stage `rampdown`.")] = False,
) -> Response:
    """Return which unfinished tasks of a tenant move to the other backend, and which stay and why. Changes nothing.
    For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    reports = RampdownReports(gateway.database, gateway.engines, gateway.router, is_down=gateway.dispatcher.is_down)
    report = await reports.read(tenant_id, dry_run=dry_run)
    return json_answer(document(report))
