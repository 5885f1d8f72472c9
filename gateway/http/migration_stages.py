"""`/gateway/v1/migration/stages`: reads and changes stages, percentages and overrides."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
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
    """One change, in words: the scope and its stages before and after. An override has no version."""

    at: datetime
    who: str
    what: str
    before: str
    after: str
    why: str
    version: int | None


class StageChangeMade(StageChange):
    """The answer to a change that was made."""

    warnings: list[str] = Field(description="Objections that `force` overruled")
    notes: list[str] = Field(description="Effects that may surprise")


class StageSetting(BaseModel):
    """A stage that is set for a scope. A part of the scope that is null matches any value."""

    tenant_id: str | None
    project_id: str | None
    task_type: str | None
    stage: str


class OverrideView(StageSetting):
    """An override: a stage that outranks the flag."""

    why: str
    by: str
    at: datetime
    expires_at: datetime | None
    version: int


class OverrideMade(OverrideView):
    """An override that was set."""

    warnings: list[str] = Field(description="Objections that `force` overruled")
    notes: list[str] = Field(description="Effects that may surprise")


class StagesInForce(BaseModel):
    """The stages that one gateway routes by."""

    flag: str = Field(description="The key of the flag")
    owner: str
    version: int | None = Field(description="The version of the flag, for `based_on` of a change")
    on: bool = Field(description="false: all tenants get the off variation")
    default: str = Field(description="What applies where nothing else is set: a stage, or percentages")
    settings: list[StageSetting] = Field(description="The most specific scope first")
    rules: list[str] = Field(description="Rules that were not made by taskgate, in words")
    notes: list[str]
    overrides: list[OverrideView] = Field(description="Stages that outrank the flag")
    problems: list[str] = Field(description="Problems that this gateway has with the flag")


class StagesView(StagesInForce):
    """The stages as they are stored now. They are in force in every gateway within a second."""

    source: str = Field(description="`database`, `file` or `launchdarkly`")
    problem: str | None = Field(description="Why the stored flag is not valid. The last valid one stays in force")
    read_only: str | None = Field(description="Why the flag cannot be changed here. Overrides can")
    stranded: list[str] = Field(description="Tenants at `complete` that still have tasks on Redis")
    last_change: StageChange | None


class StageChanges(BaseModel):
    """Changes, the oldest first."""

    changes: list[StageChange]
    note: str | None


class FlagDocument(BaseModel):
    """The stored flag data, in LaunchDarkly's format."""

    version: int
    document: dict[str, Any]


async def _who(request: Request) -> str:
    caller = await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    return caller.user_id


@router.get("", response_model=StagesView, responses=problem_errors(403))
async def get_stages(request: Request) -> Response:
    """Stages, overrides, stranded tasks, and the version for `based_on`. All these endpoints are for administrators."""
    await _who(request)
    return json_answer(await gateway_of(request).stages.view())


@router.put("", response_model=StageChangeMade, responses=problem_errors(403, 409))
async def set_stage(request: Request, asked: SetStage) -> Response:
    """Set the stage of a tenant, a project, a task type, a combination of them, or the default."""
    return json_answer((await gateway_of(request).stages.set(await _who(request), asked)).view())


@router.delete("", response_model=StageChangeMade, responses=problem_errors(403, 409))
async def unset_stage(request: Request, asked: Annotated[UnsetStage, Query()]) -> Response:
    """Remove the stage of a scope. It follows the next less specific one again."""
    return json_answer((await gateway_of(request).stages.unset(await _who(request), asked)).view())


@router.put("/rollout", response_model=StageChangeMade, responses=problem_errors(403, 409))
async def roll_out(request: Request, asked: SetRollout) -> Response:
    """Move a percentage of the default to a stage, by tenant or by task. A higher one keeps those already moved."""
    return json_answer((await gateway_of(request).stages.roll_out(await _who(request), asked)).view())


@router.get("/history", response_model=StageChanges, responses=problem_errors(403))
async def list_changes(request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 20) -> Response:
    """The newest changes of the flag and of overrides, with who made them and why."""
    await _who(request)
    return json_answer(await gateway_of(request).stages.history(limit))


@router.get("/document", response_model=FlagDocument, responses=problem_errors(403, 409))
async def export_flags(request: Request) -> Response:
    """The whole stored flag data, for a backup or for an import elsewhere."""
    await _who(request)
    version, document = await gateway_of(request).stages.document()
    return json_answer({"version": version, "document": document})


@router.put("/document", response_model=StageChangeMade, responses=problem_errors(403, 409))
async def import_flags(request: Request, asked: ImportFlags) -> Response:
    """Replace the whole stored flag data. This also works when the stored data is not valid."""
    return json_answer((await gateway_of(request).stages.load(await _who(request), asked)).view())


@router.put("/overrides", response_model=OverrideMade, responses=problem_errors(403, 409))
async def set_override(request: Request, asked: SetOverride) -> Response:
    """Set an override. It is in force in every gateway at once."""
    return json_answer((await gateway_of(request).stages.overrides.set(await _who(request), asked)).view())


@router.delete("/overrides", status_code=204, responses=problem_errors(403, 409))
async def clear_override(request: Request, asked: Annotated[ClearOverride, Query()]) -> Response:
    """Clear an override. The flag decides again."""
    await gateway_of(request).stages.overrides.clear(await _who(request), asked)
    return Response(status_code=204)
