"""`/gateway/v1/migration/plans`: tenants moved wave by wave."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.migration.plans.checking import Written
from gateway.migration.plans.document import json_schema
from gateway.migration.plans.progress import PlanState
from gateway.migration.plans.requests import ActOnPlan

router = APIRouter(prefix="/gateway/v1/migration/plans", tags=["migration"], route_class=KeyedRoute)

Name = Annotated[str, Path(max_length=100, description="Name of the plan.")]
DOCUMENT = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "object"}},
        },
    }
}


class PlanFault(BaseModel):
    """One error in a plan."""

    code: str = Field(description="Stable identifier of the kind of error.")
    place: str = Field(description="Where the error is, as a JSON pointer.")
    message: str
    line: int | None
    column: int | None


class PlanWave(BaseModel):
    """A wave: tenants that move together, and how far they are."""

    name: str | None
    stage: str
    bake_seconds: float = Field(description="Seconds to wait after the last tenant was moved.")
    tasks_percent: float | None = Field(description="Percentage of tasks that the wave moves, in place of tenants.")
    gates: list[str] = Field(description="Conditions that must hold before the wave is over.")
    tenants: int = Field(description="Number of tenants in the wave.")
    waiting: int = Field(description="Tenants that are not moved yet.")
    moved: int = Field(description="Tenants that were moved.")
    left: int = Field(
        description="Tenants that were left alone: they were at the stage before, or others have moved them since."
    )
    back: int = Field(description="Tenants that were moved back.")
    skipped: int = Field(description="Tenants that a person excluded.")
    by_override: int = Field(
        description="Tenants that were moved by an override because the flag could not be changed."
    )


class PlanSummary(BaseModel):
    """A plan and its progress. Times are those of the database."""

    name: str
    state: PlanState
    says: str = Field(description="Why the plan is in this state, and what to do.")
    why: str
    wave: int | None = Field(
        description="Number of the present wave, from 1. Null before the first wave and after the last one."
    )
    moved_at: datetime | None = Field(description="When the present wave began to bake.")
    approved_by: str | None = Field(description="Person who approved the present wave.")
    created_by: str
    created_at: datetime
    started_by: str | None
    started_at: datetime | None
    ended_at: datetime | None
    version: int = Field(description="Version of the plan, for `based_on`.")
    waves: list[PlanWave]


class PlanStep(BaseModel):
    """A step of a plan, as an entry of the ledger. Changes of routing are entries of their own."""

    id: int
    at: datetime
    who: str
    why: str
    evidence: dict[str, Any]


class PlanRecount(BaseModel):
    """A tenant whose tasks the parity gate counts anew."""

    tenant_id: str
    wave: int = Field(description="Number of the tenant's wave, from 1.")
    counts_from: datetime = Field(description="Tasks that ended from the next full minute on are compared.")
    who: str
    why: str
    times: int = Field(description="Recounts of this tenant so far, in all plans. Each needs more tasks than the last.")


class Plan(PlanSummary):
    """A plan with its text and its newest steps."""

    document: str = Field(description="The plan as it was written.")
    faults: list[PlanFault] = Field(description="Why a draft cannot be started now.")
    recounts: list[PlanRecount] = Field(description="Tenants with a recount, the last one first.")
    steps: list[PlanStep] = Field(description="The newest 50 steps.")


class Plans(BaseModel):
    """Plans, newest first."""

    plans: list[PlanSummary]


class CheckedWave(BaseModel):
    """The tenants that a wave would move."""

    name: str | None
    stage: str
    bake_seconds: float
    tasks_percent: float | None
    gates: list[str]
    tenants: int = Field(description="Number of tenants.")
    first: list[str] = Field(description="The first of the tenants, in their order.")


class PlanCheck(BaseModel):
    """The result of a check. `faults` holds all errors; it is empty if the plan is valid."""

    valid: bool
    faults: list[PlanFault]
    notes: list[str] = Field(description="Effects of the plan that may be unexpected.")
    waves: list[CheckedWave]


async def _who(request: Request) -> str:
    caller = await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    return caller.user_id


async def written_plan(request: Request) -> Written:
    """The plan in the body."""
    return Written(await request.body(), is_json="json" in request.headers.get("content-type", ""))


@router.get("", response_model=Plans, responses=problem_errors(403))
async def list_plans(request: Request) -> Response:
    """List the newest 200 plans. For administrators, as is every operation under `/migration/plans`."""
    await _who(request)
    return json_answer({"plans": await gateway_of(request).plans.list()})


@router.get("/schema", responses=problem_errors(403))
async def get_plan_schema(request: Request) -> dict[str, Any]:
    """Return the JSON Schema of plans."""
    await _who(request)
    return json_schema()


@router.post("/validate", response_model=PlanCheck, responses=problem_errors(403), openapi_extra=DOCUMENT)
async def validate_plan(request: Request) -> Response:
    """Check a plan (YAML or JSON): report all errors with their places, and the tenants that each wave would move."""
    await _who(request)
    return json_answer(await gateway_of(request).plans.validate(await written_plan(request)))


@router.put("/{name}", response_model=Plan, responses=problem_errors(403, 409), openapi_extra=DOCUMENT)
async def put_plan(
    request: Request,
    name: Name,
    based_on: Annotated[
        int | None,
        Query(
            ge=0,
            le=2**63 - 1,
            description="Version that the caller has seen; 0: there was none. If it has changed since, the request "
            "is answered 409. Default: no check.",
        ),
    ] = None,
) -> Response:
    """Create or replace a draft (YAML or JSON). The plan is not started."""
    who = await _who(request)
    return json_answer(await gateway_of(request).plans.put(who, name, await written_plan(request), based_on))


@router.get("/{name}", response_model=Plan, responses=problem_errors(403, 404))
async def get_plan(request: Request, name: Name) -> Response:
    """Return a plan with its newest 50 steps."""
    await _who(request)
    return json_answer(await gateway_of(request).plans.get(name))


@router.post("/{name}/acts", response_model=Plan, responses=problem_errors(403, 404, 409))
async def act_on_plan(request: Request, name: Name, asked: ActOnPlan) -> Response:
    """Start, pause, resume, approve, skip, abort or roll back a plan, or count a tenant anew."""
    return json_answer(await gateway_of(request).plans.act(await _who(request), name, asked))
