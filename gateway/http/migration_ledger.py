"""`/gateway/v1/migration/ledger` and `/gateway/v1/tasks/{id}/why`: who changed what, and why a task ran there."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.migration.ledger.flip_log import LARGEST_PAGE
from gateway.migration.ledger.verification import document, verify
from gateway.moment import Moment

router = APIRouter(prefix="/gateway/v1", tags=["migration"], route_class=KeyedRoute)


class LedgerEntry(BaseModel):
    """A change of effective routing."""

    id: int
    at: datetime
    source: str = Field(description="`genesis`, `file`, `database`, `launchdarkly` or `override`")
    scope: str = Field(description="`tenant:acme`, `project:…`, `type:…`, `rule:…`, `default`, `all`, `several`, …")
    before: str | None = Field(description="A stage; null: nothing was set, or no single stage")
    after: str | None
    why: str
    version: str = Field(description="Of the flag; empty: there is none")
    who: str | None = Field(description="Null: nobody is named, or the caller is no administrator")
    evidence: dict[str, Any] | None = Field(description="For administrators")


class Flip(LedgerEntry):
    """With what ran under it."""

    tasks: dict[str, int] = Field(description="Tasks whose last start names the entry, by state")


class Flips(BaseModel):
    """The newest first."""

    flips: list[Flip]
    next_cursor: str | None


class Break(BaseModel):
    """Where the chain does not hold."""

    entry_id: int
    problem: str


class LedgerVerdict(BaseModel):
    """Whether the ledger is as it was written."""

    entries: int
    expired_months: int
    last_id: int
    last_hash: str = Field(description="SHA-256; write it down elsewhere to be able to compare it later")
    is_sound: bool
    breaks: list[Break]


class Start(BaseModel):
    """A start of the task; several attempts may belong to one."""

    epoch: int = Field(description="The number of the start")
    attempt: int | None = Field(description="The number of the run; null: no worker has begun it")
    backend: str | None
    stage: str | None = Field(description="Then; null: started before there was a ledger, or by hand")
    rule: str | None = Field(
        description="What decided: `override …`, `target`, `rule …`, `fallthrough`, `off`, `workflow`, `redrive`, …"
    )
    started_at: datetime | None
    ended_at: datetime | None
    outcome: str | None
    entry: LedgerEntry | None = Field(description="Null: it has expired")


class Why(BaseModel):
    """Why a task was started where it was."""

    task_id: str
    tenant_id: str | None
    state: str
    stage_now: str = Field(description="What a start would be at now")
    rule_now: str
    starts: list[Start]


@router.get("/tasks/{task_id}/why", response_model=Why, responses=problem_errors(403, 404))
async def get_why(request: Request, task_id: str) -> Response:
    """Each start of a task: what decided, and who had set it. Tenants see their own tasks, without names."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(await gateway.explanations.why(task_id, caller))


@router.get("/migration/ledger", response_model=Flips, responses=problem_errors(403, 404))
async def list_flips(
    request: Request,
    tenant_id: Annotated[str | None, Query(min_length=1, description="Those that may concern this tenant")] = None,
    since: Annotated[Moment | None, Query(description="ISO 8601 with offset")] = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 50,
    cursor: Annotated[str | None, Query()] = None,
) -> Response:
    """Changes of routing, newest first, with what ran under each. For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    flips, following = await gateway.flip_log.page(tenant_id=tenant_id, since=since, cursor=cursor, limit=limit)
    return json_answer({"flips": flips, "next_cursor": following})


@router.get("/migration/ledger/verification", response_model=LedgerVerdict, responses=problem_errors(403))
async def verify_ledger(request: Request) -> Response:
    """Look at every entry: its hash, its place in the chain. For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(document(await verify(gateway.database)))
