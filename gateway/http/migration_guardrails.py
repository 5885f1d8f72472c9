"""`/gateway/v1/migration/guardrails`: what takes a tenant back to Redis by itself, and what it did."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import json_answer
from gateway.http.documents import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.migration.guardrails.guard import Phase
from gateway.migration.guardrails.guardrails import LARGEST_PAGE
from gateway.migration.guardrails.happening import Kind
from gateway.migration.guardrails.policy import Response as Answer
from gateway.migration.guardrails.requests import SetGuardrail, Unfreeze, Unlock

router = APIRouter(prefix="/gateway/v1/migration/guardrails", tags=["migration"], route_class=KeyedRoute)


class GuardrailPolicy(BaseModel):
    """What applies to a tenant; a limit that is null is not watched."""

    on_regression: Answer
    dry_run: bool
    on_threshold: Answer
    queue_age_seconds: float | None
    dead_letters_per_minute: float | None
    worker_losses_per_minute: float | None


class GuardrailSetting(BaseModel):
    """What is set at one level; what is left out is that of the next one."""

    scope: str = Field(description="`tenant:acme`, `tier:vip` or `default`")
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
    """A task type with a baseline."""

    task_type: str
    baseline: int = Field(description="First runs on Redis in the day before the move")
    failed: int = Field(description="Of these")


class GuardrailView(BaseModel):
    """The guardrail of one tenant. Times are the database's."""

    tenant_id: str
    phase: Phase = Field(
        description="`resting`: on Redis; `armed`: on Temporal and watched; `rolled_back`; `cooling`: moved forward "
        "within the cooldown; `locked`: rolled back too often"
    )
    redis_stage: str = Field(description="Where a rollback leads")
    moved_at: datetime | None
    entry_id: int | None = Field(description="The ledger's entry that moved it forward")
    armed_at: datetime | None
    rollbacks: int = Field(description="Automatic ones since it was unlocked last")
    rolled_back_at: datetime | None
    cooldown_ends: datetime | None
    holds: list[str] = Field(description="Why it is not moved forward")
    notes: list[str]
    compared: list[ComparedType] = Field(description="Empty until a task has ended on Temporal")
    policy: GuardrailPolicy


class Freeze(BaseModel):
    """Too many tenants tripped at once: no guardrail changes anything."""

    since: datetime
    why: str


class Guardrails(BaseModel):
    """Those that are not at rest, and what is set."""

    frozen: Freeze | None
    settings: list[GuardrailSetting]
    guardrails: list[GuardrailView]


class GuardrailEvent(BaseModel):
    """Something that a guardrail did or told, or a person did to it."""

    id: int
    at: datetime
    tenant_id: str | None = Field(description="null: everybody")
    kind: Kind
    why: str
    who: str | None = Field(description="null: the guardrail itself")
    evidence: dict[str, Any]
    entry_id: int | None = Field(description="The ledger's entry of a rollback")


class GuardrailHistory(BaseModel):
    """Newest first."""

    events: list[GuardrailEvent]
    next_cursor: str | None = Field(description="For the next page; null on the last one")


async def _who(request: Request) -> str:
    caller = await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    return caller.user_id


@router.get("", response_model=Guardrails, responses=problem_errors(403, 404))
async def get_guardrails(
    request: Request,
    tenant_id: Annotated[str | None, Query(max_length=255, description="Of this tenant, also at rest")] = None,
) -> Response:
    """Where guardrails stand and what they are set to. For administrators, as all here."""
    await _who(request)
    return json_answer(await gateway_of(request).guardrails.show(tenant_id))


@router.put("", response_model=Guardrails, responses=problem_errors(403, 404))
async def set_guardrail(request: Request, asked: SetGuardrail) -> Response:
    """Replace what is set for a tenant, a tier, or everybody; in force within a second."""
    return json_answer(await gateway_of(request).guardrails.set(await _who(request), asked))


@router.post("/unlock", response_model=Guardrails, responses=problem_errors(403, 404, 409))
async def unlock_guardrail(request: Request, asked: Unlock) -> Response:
    """After the third automatic rollback of a tenant: it may be moved forward again, and is watched again then."""
    return json_answer(await gateway_of(request).guardrails.unlock(await _who(request), asked))


@router.post("/unfreeze", response_model=Guardrails, responses=problem_errors(403, 409))
async def unfreeze_guardrails(request: Request, asked: Unfreeze) -> Response:
    """Let all guardrails act again; what was seen before counts no more."""
    return json_answer(await gateway_of(request).guardrails.unfreeze(await _who(request), asked))


@router.get("/history", response_model=GuardrailHistory, responses=problem_errors(403, 404))
async def list_guardrail_events(
    request: Request,
    tenant_id: Annotated[str | None, Query(max_length=255, description="Of this tenant, and of everybody")] = None,
    cursor: Annotated[str | None, Query(max_length=100, description="`next_cursor` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 50,
) -> Response:
    """What guardrails did, with its evidence, and what people did to them."""
    await _who(request)
    events, following = await gateway_of(request).guardrails.history(tenant_id=tenant_id, cursor=cursor, limit=limit)
    return json_answer({"events": events, "next_cursor": following})
