"""`/gateway/v1/migration/guardrails`: automatic rollbacks of tenants, their settings and their history."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.migration.guardrails.event import Kind
from gateway.migration.guardrails.guard import Phase
from gateway.migration.guardrails.guardrails import LARGEST_PAGE
from gateway.migration.guardrails.policy import Response as Answer
from gateway.migration.guardrails.requests import SetGuardrail, Unfreeze, Unlock

router = APIRouter(prefix="/gateway/v1/migration/guardrails", tags=["migration"], route_class=KeyedRoute)


class GuardrailPolicy(BaseModel):
    """The settings that apply to a tenant. A limit that is null is not watched."""

    on_regression: Answer = Field(description="What is done after a proven regression.")
    dry_run: bool = Field(description="Whether the guardrail only reports what it would do.")
    on_threshold: Answer = Field(description="What is done when a limit is exceeded.")
    queue_age_seconds: float | None = Field(description="Limit for the age of the oldest waiting task, in seconds.")
    dead_letters_per_minute: float | None = Field(description="Limit for new dead letters per minute.")
    worker_losses_per_minute: float | None = Field(description="Limit for attempts per minute whose worker was lost.")


class GuardrailSetting(BaseModel):
    """The settings of one level: a tenant, a tier, or the default. A null setting is taken from the next level."""

    scope: str = Field(description="The level: `tenant:acme`, `tier:vip` or `default`.")
    on_regression: Answer | None = None
    dry_run: bool | None = None
    on_threshold: Answer | None = None
    queue_age_seconds: float | None = None
    dead_letters_per_minute: float | None = None
    worker_losses_per_minute: float | None = None
    who: str
    why: str
    at: datetime


class ComparedType(BaseModel):
    """A task type whose tasks on Temporal are compared with its baseline on Redis."""

    task_type: str
    baseline: int = Field(description="Number of first attempts on Redis in the 24 hours before the move.")
    failed: int = Field(description="Number of these attempts that failed.")


class GuardrailView(BaseModel):
    """The guardrail of one tenant. Times are those of PostgreSQL's clock."""

    tenant_id: str
    phase: Phase = Field(
        description="`resting`: the tenant is on Redis. `armed`: it is on Temporal and watched. `rolled_back`: "
        "the guardrail moved it back. `cooling`: it was moved forward again before the cooldown "
        "ended. `locked`: it was rolled back too often, and a person has to unlock it."
    )
    redis_stage: str = Field(description="Stage that a rollback sets.")
    moved_at: datetime | None
    entry_id: int | None = Field(description="Ledger entry of the move to Temporal.")
    armed_at: datetime | None
    rollbacks: int = Field(description="Number of automatic rollbacks since the last unlock.")
    rolled_back_at: datetime | None
    cooldown_ends: datetime | None = Field(description="No automatic rollback happens before this time.")
    holds: list[str] = Field(description="Reasons why the tenant may not be moved forward.")
    notes: list[str]
    compared: list[ComparedType] = Field(
        description="Task types that are compared. Empty until a task has ended on Temporal."
    )
    policy: GuardrailPolicy


class Freeze(BaseModel):
    """Too many tenants regressed at the same time. Guardrails only report until a person ends the freeze."""

    since: datetime
    why: str


class Guardrails(BaseModel):
    """All guardrails that are not `resting`, and all settings."""

    frozen: Freeze | None = Field(description="Null: guardrails are not frozen.")
    settings: list[GuardrailSetting]
    guardrails: list[GuardrailView]


class GuardrailEvent(BaseModel):
    """Something that a guardrail did or reported, or a change that a person made to it."""

    id: int
    at: datetime
    tenant_id: str | None = Field(description="Null: all tenants.")
    kind: Kind
    why: str
    who: str | None = Field(description="The person. Null: the guardrail itself.")
    evidence: dict[str, Any] = Field(description="The figures behind it.")
    entry_id: int | None = Field(description="Ledger entry of a rollback.")


class GuardrailHistory(BaseModel):
    """Events, newest first."""

    events: list[GuardrailEvent]
    next_cursor: str | None = Field(description="Cursor of the next page. Null on the last page.")


async def _who(request: Request) -> str:
    caller = await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    return caller.user_id


@router.get("", response_model=Guardrails, responses=problem_errors(403, 404))
async def get_guardrails(
    request: Request,
    tenant_id: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=255,
            description="Return only the guardrail of this tenant, even if it is `resting`. Default: all that are "
            "not `resting`.",
        ),
    ] = None,
) -> Response:
    """Return the state and the settings of guardrails. For administrators, as is every operation under
    `/migration/guardrails`."""
    await _who(request)
    return json_answer(await gateway_of(request).guardrails.show(tenant_id))


@router.put("", response_model=Guardrails, responses=problem_errors(403, 404))
async def set_guardrail(request: Request, asked: SetGuardrail) -> Response:
    """Replace the settings of a tenant, a tier, or the default. They are in force within a second."""
    return json_answer(await gateway_of(request).guardrails.set(await _who(request), asked))


@router.post("/unlock", response_model=Guardrails, responses=problem_errors(403, 404, 409))
async def unlock_guardrail(request: Request, asked: Unlock) -> Response:
    """Unlock a tenant that was rolled back three times. It may be moved forward again, and is watched again then."""
    return json_answer(await gateway_of(request).guardrails.unlock(await _who(request), asked))


@router.post("/unfreeze", response_model=Guardrails, responses=problem_errors(403, 409))
async def unfreeze_guardrails(request: Request, asked: Unfreeze) -> Response:
    """End the freeze: all guardrails act again. Earlier evidence no longer counts."""
    return json_answer(await gateway_of(request).guardrails.unfreeze(await _who(request), asked))


@router.get("/history", response_model=GuardrailHistory, responses=problem_errors(403, 404))
async def list_guardrail_events(
    request: Request,
    tenant_id: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=255,
            description="Return only events of this tenant, and events that concern all tenants. Default: all events.",
        ),
    ] = None,
    cursor: Annotated[
        str | None,
        Query(max_length=100, description="The `next_cursor` value of the previous page. Default: the first page."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 50,
) -> Response:
    """List what guardrails did and on which evidence, and how people changed them, newest first."""
    await _who(request)
    events, following = await gateway_of(request).guardrails.history(tenant_id=tenant_id, cursor=cursor, limit=limit)
    return json_answer({"events": events, "next_cursor": following})
