"""`/gateway/v1/audit`: who changed what, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.audit.reading import LARGEST_PAGE, EntryFilter
from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.moment import Moment

router = APIRouter(prefix="/gateway/v1/audit", tags=["access"], route_class=KeyedRoute)

Action = Annotated[str | None, Query(max_length=100, description="Actions that begin so: `key.` is all about keys")]
Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE)]


class AuditEntry(BaseModel):
    """An administrative change, a bulk action, or a change of routing."""

    id: int
    at: datetime
    action: str = Field(description="`key.revoke`, `quota.set`, …; `flip`: of routing; `plan`: a step of a plan")
    subject: str = Field(description="`tenant:acme`, `key:…`, …")
    who: str | None = Field(description="Null: nobody is named")
    why: str | None
    source: str = Field(description="`http`, `grpc`, `command`, `gateway`; of a flip, what held the flag")
    before: dict[str, Any] | None = Field(description="Null: there was nothing, or it is not told")
    after: dict[str, Any] | None
    detail: dict[str, Any]
    request_id: str | None
    address: str | None = Field(description="Of the client")
    key_id: str | None
    hash: str = Field(description="SHA-256 over the entry and the hash of the one before")


class AuditPage(BaseModel):
    """The newest first."""

    entries: list[AuditEntry]
    next_cursor: str | None


class CloudEvent(BaseModel):
    """CloudEvents 1.0 in its JSON format."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str
    data: dict[str, Any] = Field(description="OCSF API Activity (class 6003)")


class AuditEvents(BaseModel):
    """The oldest first. `next_cursor` gives what comes after these, also later; null: there is none yet."""

    events: list[CloudEvent]
    next_cursor: str | None


def _filter(
    action: Action = None,
    who: Annotated[str | None, Query(max_length=500, description="By this user")] = None,
    subject: Annotated[str | None, Query(max_length=500, description="About this, as `tenant:acme`")] = None,
    since: Annotated[Moment | None, Query(description="At this time or later; ISO 8601 with offset")] = None,
    before: Annotated[Moment | None, Query(description="Before this time; ISO 8601 with offset")] = None,
) -> EntryFilter:
    return EntryFilter(action, who, subject, since, before)


Which = Annotated[EntryFilter, Depends(_filter)]
Cursor = Annotated[str | None, Query()]
After = Annotated[int | None, Query(ge=0, lt=2**63, description="Only what came after the event with this id")]


@router.get("", response_model=AuditPage, responses=problem_errors(403))
async def list_audit_entries(request: Request, which: Which, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Every change on record, newest first. For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    entries, following = await gateway.audit_trail.page(which, cursor=cursor, limit=limit)
    return json_answer({"entries": entries, "next_cursor": following})


@router.get("/events", response_model=AuditEvents, responses=problem_errors(403))
async def list_audit_events(
    request: Request, which: Which, limit: Limit = 100, cursor: Cursor = None, after: After = None
) -> Response:
    """The same for export: CloudEvents with OCSF API Activity, in the order of the record. For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    events, following = await gateway.audit_trail.events(which, cursor=cursor, limit=limit, after=after)
    return json_answer({"events": events, "next_cursor": following})
