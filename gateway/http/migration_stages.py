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
    """A change of the flag or of an override, in words."""

    at: datetime
    who: str
    what: str = Field(description="The scope that was changed.")
    before: str = Field(description="Its stage, or percentages, before the change.")
    after: str = Field(description="Its stage, or percentages, after the change.")
    why: str
    version: int | None = Field(description="Version of the flag. Null for overrides.")


class StageChangeMade(StageChange):
    """The change that was made."""

    warnings: list[str] = Field(description="Objections that were overruled with `force`.")
    notes: list[str] = Field(description="Effects of the change that may be unexpected.")


class StageSetting(BaseModel):
    """The stage of a scope. A null field matches any value."""

    tenant_id: str | None
    project_id: str | None
    task_type: str | None
    stage: str


class OverrideView(StageSetting):
    """An override: a stage that has precedence over the flag."""

    why: str
    by: str
    at: datetime
    expires_at: datetime | None = Field(
        description="When the override ends by itself. Null: it stays until it is cleared."
    )
    version: int = Field(description="Version of the override, for `based_on`.")


class OverrideMade(OverrideView):
    """The override that was set."""

    warnings: list[str] = Field(description="Objections that were overruled with `force`.")
    notes: list[str] = Field(description="Effects of the override that may be unexpected.")


class StagesInForce(BaseModel):
    """The stages that one gateway uses for routing."""

    flag: str = Field(description="Key of the flag.")
    owner: str = Field(description="What holds the flag, in words.")
    version: int | None = Field(description="Version of the flag, for `based_on`.")
    on: bool = Field(description="`false`: the flag is switched off, and its off variation applies to all tenants.")
    default: str = Field(description="What applies where nothing else is set: a stage, or percentages.")
    settings: list[StageSetting] = Field(description="Stages set in the flag, the most specific scope first.")
    rules: list[str] = Field(description="Rules of the flag that were not made by taskgate, in words.")
    notes: list[str]
    overrides: list[OverrideView] = Field(description="Overrides. They have precedence over the flag.")
    problems: list[str] = Field(description="Problems of this gateway with the flag.")


class StagesView(StagesInForce):
    """The stages as they are stored now. All gateways use them within a second."""

    source: str = Field(description="What holds the flag: `database`, `file` or `launchdarkly`.")
    problem: str | None = Field(
        description="Why the stored flag is not valid. The last valid version stays in force. Null: it is valid."
    )
    read_only: str | None = Field(
        description="Why the flag cannot be changed through this API (overrides can). Null: it can be changed."
    )
    stranded: list[str] = Field(description="Tenants at `complete` that still have tasks on Redis.")
    last_change: StageChange | None


class StageChanges(BaseModel):
    """Changes, oldest first."""

    changes: list[StageChange]
    note: str | None = Field(description="What is missing from the list, and why. Null: nothing.")


class FlagDocument(BaseModel):
    """The stored flag, in LaunchDarkly's format."""

    version: int
    document: dict[str, Any]


async def _who(request: Request) -> str:
    caller = await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    return caller.user_id


@router.get("", response_model=StagesView, responses=problem_errors(403))
async def get_stages(request: Request) -> Response:
    """Return the stages, the overrides, stranded tenants, and the version for `based_on`. For administrators, as is
    every operation under `/migration/stages`."""
    await _who(request)
    return json_answer(await gateway_of(request).stages.view())


@router.put("", response_model=StageChangeMade, responses=problem_errors(403, 409))
async def set_stage(request: Request, asked: SetStage) -> Response:
    """Set the stage of a tenant, a project, a task type, a combination of these, or the default."""
    return json_answer((await gateway_of(request).stages.set(await _who(request), asked)).view())


@router.delete("", response_model=StageChangeMade, responses=problem_errors(403, 409))
async def unset_stage(request: Request, asked: Annotated[UnsetStage, Query()]) -> Response:
    """Remove the stage of a scope. The next less specific setting applies again."""
    return json_answer((await gateway_of(request).stages.unset(await _who(request), asked)).view())


@router.put("/rollout", response_model=StageChangeMade, responses=problem_errors(403, 409))
async def roll_out(request: Request, asked: SetRollout) -> Response:
    """Move a percentage of the tenants or tasks that have no setting of their own to a stage. A higher percentage
    keeps those already moved."""
    return json_answer((await gateway_of(request).stages.roll_out(await _who(request), asked)).view())


@router.get("/history", response_model=StageChanges, responses=problem_errors(403))
async def list_changes(request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 20) -> Response:
    """List the newest changes of the flag and of overrides, with who made them and why."""
    await _who(request)
    return json_answer(await gateway_of(request).stages.history(limit))


@router.get("/document", response_model=FlagDocument, responses=problem_errors(403, 409))
async def export_flags(request: Request) -> Response:
    """Export the whole stored flag data, for a backup or for an import elsewhere."""
    await _who(request)
    version, document = await gateway_of(request).stages.document()
    return json_answer({"version": version, "document": document})


@router.put("/document", response_model=StageChangeMade, responses=problem_errors(403, 409))
async def import_flags(request: Request, asked: ImportFlags) -> Response:
    """Replace the whole stored flag data. This also works if the stored data is not valid."""
    return json_answer((await gateway_of(request).stages.load(await _who(request), asked)).view())


@router.put("/overrides", response_model=OverrideMade, responses=problem_errors(403, 409))
async def set_override(request: Request, asked: SetOverride) -> Response:
    """Set an override. All gateways use it at once."""
    return json_answer((await gateway_of(request).stages.overrides.set(await _who(request), asked)).view())


@router.delete("/overrides", status_code=204, responses=problem_errors(403, 409))
async def clear_override(request: Request, asked: Annotated[ClearOverride, Query()]) -> Response:
    """Clear an override. The flag decides again."""
    await gateway_of(request).stages.overrides.clear(await _who(request), asked)
    return Response(status_code=204)
