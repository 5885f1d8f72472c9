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
    """An entry of the ledger: a change of effective routing."""

    id: int
    at: datetime
    source: str = Field(description="What was changed: `genesis`, `file`, `database`, `launchdarkly` or `override`.")
    scope: str = Field(
        description="The tasks that it is about: `tenant:acme`, `project:…`, `type:…`, `rule:…`, `default`, "
        "`all`, `several`, …."
    )
    before: str | None = Field(description="Stage before the change. Null: nothing was set, or not a single stage.")
    after: str | None = Field(description="Stage after the change. Null: nothing is set, or not a single stage.")
    why: str
    version: str = Field(description="Version of the flag. Empty: there is none.")
    who: str | None = Field(
        description="User who made the change. Null: unknown, or the caller is not an administrator."
    )
    evidence: dict[str, Any] | None = Field(
        description="What the change was based on. Null unless the caller is an administrator."
    )


class Flip(LedgerEntry):
    """A change of routing, with the tasks that ran under it."""

    tasks: dict[str, int] = Field(description="Number of tasks whose last start refers to this entry, by state.")


class Flips(BaseModel):
    """Changes of routing, newest first."""

    flips: list[Flip]
    next_cursor: str | None = Field(description="Cursor of the next page. Null on the last page.")


class Break(BaseModel):
    """A place where the chain of hashes does not hold."""

    entry_id: int
    problem: str


class LedgerVerdict(BaseModel):
    """Whether the ledger is as it was written."""

    entries: int = Field(description="Number of entries.")
    expired_months: int = Field(description="Number of months whose entries have been deleted by retention.")
    last_id: int
    last_hash: str = Field(description="SHA-256 of the last entry. Keep it elsewhere to compare it later.")
    is_sound: bool = Field(description="Whether no break was found.")
    breaks: list[Break]


class Start(BaseModel):
    """A start of the task on a backend. Several attempts may belong to it."""

    epoch: int = Field(description="Number of the start.")
    attempt: int | None = Field(description="Number of the attempt. Null: no worker has begun to run the task.")
    backend: str | None
    stage: str | None = Field(
        description="Migration stage at that time. Null: the task was started before there was a ledger, or by hand."
    )
    rule: str | None = Field(
        description="What decided: `override …`, `target`, `rule …`, `fallthrough`, `off`, `workflow`, `redrive`, …."
    )
    started_at: datetime | None
    ended_at: datetime | None
    outcome: str | None
    entry: LedgerEntry | None = Field(
        description="The ledger entry of the setting that decided. Null: the entry has expired."
    )


class Why(BaseModel):
    """Why a task was started where it was."""

    task_id: str
    tenant_id: str | None
    state: str
    stage_now: str = Field(description="Stage at which the task would be started now.")
    rule_now: str = Field(description="What would decide now.")
    starts: list[Start]


@router.get("/tasks/{task_id}/why", response_model=Why, responses=problem_errors(403, 404))
async def get_why(request: Request, task_id: str) -> Response:
    """Explain each start of a task: which setting decided, and how it was changed.

    Callers see their own tasks. Names of people and evidence are visible only to administrators.
    """
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(await gateway.explanations.why(task_id, caller))


@router.get("/migration/ledger", response_model=Flips, responses=problem_errors(403, 404))
async def list_flips(
    request: Request,
    tenant_id: Annotated[
        str | None, Query(min_length=1, description="Return only changes that may concern this tenant. Default: all.")
    ] = None,
    since: Annotated[
        Moment | None, Query(description="Return only changes from this time on. ISO 8601 with a UTC offset.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 50,
    cursor: Annotated[str | None, Query()] = None,
) -> Response:
    """List changes of routing, newest first, with the tasks that ran under each. For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    flips, following = await gateway.flip_log.page(tenant_id=tenant_id, since=since, cursor=cursor, limit=limit)
    return json_answer({"flips": flips, "next_cursor": following})


@router.get("/migration/ledger/verification", response_model=LedgerVerdict, responses=problem_errors(403))
async def verify_ledger(request: Request) -> Response:
    """Verify every entry of the ledger: its hash and its place in the chain. For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(document(await verify(gateway.database)))
