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

Name = Annotated[str, Path(max_length=100, description="Name of the plan")]
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
    """One thing that is wrong with a plan."""

    code: str
    place: str = Field(description="JSON pointer")
    message: str
    line: int | None
    column: int | None


class PlanWave(BaseModel):
    """Tenants that move together, and how many of them stand where."""

    name: str | None
    stage: str
    bake_seconds: float
    tasks_percent: float | None
    gates: list[str] = Field(description="What must hold before the wave is over")
    tenants: int
    waiting: int
    moved: int
    left: int = Field(description="Stood there before, or were moved by others since")
    back: int = Field(description="Rolled back")
    skipped: int
    by_override: int = Field(description="Moved by an override while the flag could not be changed")


class PlanSummary(BaseModel):
    """How far a plan is. Times are the database's."""

    name: str
    state: PlanState
    says: str = Field(description="Why it stands there, and what to do")
    why: str
    wave: int | None = Field(description="The present one, from 1; null before it began and when it is over")
    moved_at: datetime | None = Field(description="Since when the wave bakes")
    approved_by: str | None = Field(description="Of the wave")
    created_by: str
    created_at: datetime
    started_by: str | None
    started_at: datetime | None
    ended_at: datetime | None
    version: int
    waves: list[PlanWave]


class PlanStep(BaseModel):
    """An entry of the ledger about a plan. Its flips are entries of their own."""

    id: int
    at: datetime
    who: str
    why: str
    evidence: dict[str, Any]


class Plan(PlanSummary):
    """With its text and newest steps. `faults`: why a draft could not be started now."""

    document: str
    faults: list[PlanFault]
    steps: list[PlanStep]


class Plans(BaseModel):
    """Newest first."""

    plans: list[PlanSummary]


class CheckedWave(BaseModel):
    """Whom a wave would move."""

    name: str | None
    stage: str
    bake_seconds: float
    tasks_percent: float | None
    gates: list[str]
    tenants: int
    first: list[str] = Field(description="Some of them, in their order")


class PlanCheck(BaseModel):
    """Every fault at once; none: it is valid. `notes`: what may surprise."""

    valid: bool
    faults: list[PlanFault]
    notes: list[str]
    waves: list[CheckedWave]


async def _who(request: Request) -> str:
    caller = await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    return caller.user_id


async def written_plan(request: Request) -> Written:
    """The plan in the body."""
    return Written(await request.body(), is_json="json" in request.headers.get("content-type", ""))


@router.get("", response_model=Plans, responses=problem_errors(403))
async def list_plans(request: Request) -> Response:
    """The newest 200 plans. For administrators, as all here."""
    await _who(request)
    return json_answer({"plans": await gateway_of(request).plans.list()})


@router.get("/schema", responses=problem_errors(403))
async def get_plan_schema(request: Request) -> dict[str, Any]:
    """The JSON Schema of a plan."""
    await _who(request)
    return json_schema()


@router.post("/validate", response_model=PlanCheck, responses=problem_errors(403), openapi_extra=DOCUMENT)
async def validate_plan(request: Request) -> Response:
    """Say everything that is wrong with a plan (YAML or JSON), and whom its waves would move."""
    await _who(request)
    return json_answer(await gateway_of(request).plans.validate(await written_plan(request)))


@router.put("/{name}", response_model=Plan, responses=problem_errors(403, 409), openapi_extra=DOCUMENT)
async def put_plan(
    request: Request,
    name: Name,
    based_on: Annotated[
        int | None, Query(ge=0, le=2**63 - 1, description="Version that was seen; 0: none; left out: any")
    ] = None,
) -> Response:
    """Write a draft (YAML or JSON), or replace one; it is started by an act of its own."""
    who = await _who(request)
    return json_answer(await gateway_of(request).plans.put(who, name, await written_plan(request), based_on))


@router.get("/{name}", response_model=Plan, responses=problem_errors(403, 404))
async def get_plan(request: Request, name: Name) -> Response:
    """One plan, with its newest 50 steps."""
    await _who(request)
    return json_answer(await gateway_of(request).plans.get(name))


@router.post("/{name}/acts", response_model=Plan, responses=problem_errors(403, 404, 409))
async def act_on_plan(request: Request, name: Name, asked: ActOnPlan) -> Response:
    """Start, pause, resume, approve, skip, abort or roll back."""
    return json_answer(await gateway_of(request).plans.act(await _who(request), name, asked))
