"""`/gateway/v1/migration/stages`: who is at which stage, and the one door to change that."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import json_answer
from gateway.http.documents import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.migration.stages.requests import (
    ClearOverride,
    ImportFlags,
    SetOverride,
    SetRollout,
    SetStage,
    UnsetStage,
)

router = APIRouter(prefix="/gateway/v1/migration/stages", tags=["migration"], route_class=KeyedRoute)


class StageChange(BaseModel):
    """A change, in words: what stood for `what` before and after. Of an override there is no version."""

    at: datetime
    who: str
    what: str
    before: str
    after: str
    why: str
    version: int | None


class StageChangeMade(StageChange):
    """A change that was made."""

    warnings: list[str] = Field(description="What was insisted on")
    notes: list[str] = Field(description="What may surprise")


class StageSetting(BaseModel):
    """A stage of its own; null: any."""

    tenant_id: str | None
    project_id: str | None
    task_type: str | None
    stage: str


class OverrideView(StageSetting):
    """A stage above the flag."""

    why: str
    by: str
    at: datetime
    expires_at: datetime | None
    version: int


class OverrideMade(OverrideView):
    """An override that was set."""

    warnings: list[str] = Field(description="What was insisted on")
    notes: list[str] = Field(description="What may surprise")


class StagesInForce(BaseModel):
    """What routing knows on one gateway."""

    flag: str = Field(description="Its key")
    owner: str
    version: int | None = Field(description="Of the flag; a change is based on it")
    on: bool = Field(description="false: everybody has the off variation")
    default: str = Field(description="For all that nothing else is set for: a stage, or percentages")
    settings: list[StageSetting] = Field(description="The most specific first")
    rules: list[str] = Field(description="Rules by other hands, in words")
    notes: list[str]
    overrides: list[OverrideView] = Field(description="Stages above the flag")
    problems: list[str] = Field(description="What routing complains of, here")


class StagesView(StagesInForce):
    """Who is at which stage, as it is held now; within a second it is in force in every gateway."""

    source: str = Field(description="`database`, `file` or `launchdarkly`")
    problem: str | None = Field(description="Why what is held is not valid; the last known flag stays in force")
    read_only: str | None = Field(description="Why the flag may not be changed from here; overrides may")
    stranded: list[str] = Field(description="Tasks that stage complete left on Redis")
    last_change: StageChange | None


class StageChanges(BaseModel):
    """The oldest first."""

    changes: list[StageChange]
    note: str | None


class FlagDocument(BaseModel):
    """LaunchDarkly's flag data, as it is held."""

    version: int
    document: dict[str, Any]


async def _who(request: Request) -> str:
    caller = await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    return caller.user_id


@router.get("", response_model=StagesView, responses=problem_errors(403))
async def get_stages(request: Request) -> Response:
    """Stages, overrides, what is stranded, the version that a change is based on. For administrators, as all here."""
    await _who(request)
    return json_answer(await gateway_of(request).stages.view())


@router.put("", response_model=StageChangeMade, responses=problem_errors(403, 409))
async def set_stage(request: Request, asked: SetStage) -> Response:
    """Put a tenant, a project, a task type, a combination of them, or everything else at a stage."""
    return json_answer((await gateway_of(request).stages.set(await _who(request), asked)).view())


@router.delete("", response_model=StageChangeMade, responses=problem_errors(403, 409))
async def unset_stage(request: Request, asked: Annotated[UnsetStage, Query()]) -> Response:
    """Take the stage of a scope away: it follows what is less specific again."""
    return json_answer((await gateway_of(request).stages.unset(await _who(request), asked)).view())


@router.put("/rollout", response_model=StageChangeMade, responses=problem_errors(403, 409))
async def roll_out(request: Request, asked: SetRollout) -> Response:
    """Move a percentage of the default to a stage, by tenant or by task; raising it later only ever adds."""
    return json_answer((await gateway_of(request).stages.roll_out(await _who(request), asked)).view())


@router.get("/history", response_model=StageChanges, responses=problem_errors(403))
async def list_changes(request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 20) -> Response:
    """The newest changes of the flag and of the overrides: who, what, why."""
    await _who(request)
    return json_answer(await gateway_of(request).stages.history(limit))


@router.get("/document", response_model=FlagDocument, responses=problem_errors(403, 409))
async def export_flags(request: Request) -> Response:
    """All that holds the flag, to be kept or to be imported elsewhere."""
    await _who(request)
    version, document = await gateway_of(request).stages.document()
    return json_answer({"version": version, "document": document})


@router.put("/document", response_model=StageChangeMade, responses=problem_errors(403, 409))
async def import_flags(request: Request, asked: ImportFlags) -> Response:
    """Replace all that holds the flag, also when it is not valid."""
    return json_answer((await gateway_of(request).stages.load(await _who(request), asked)).view())


@router.put("/overrides", response_model=OverrideMade, responses=problem_errors(403, 409))
async def set_override(request: Request, asked: SetOverride) -> Response:
    """Put a stage above the flag, in force in every gateway at once."""
    return json_answer((await gateway_of(request).stages.overrides.set(await _who(request), asked)).view())


@router.delete("/overrides", status_code=204, responses=problem_errors(403, 409))
async def clear_override(request: Request, asked: Annotated[ClearOverride, Query()]) -> Response:
    """Take an override away: the flag decides again."""
    await gateway_of(request).stages.overrides.clear(await _who(request), asked)
    return Response(status_code=204)
