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

Action = Annotated[
    str | None,
    Query(
        max_length=100,
        description="Return only entries whose action begins with this text, for example `key.` for everything "
        "about keys.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE)]


class AuditEntry(BaseModel):
    """An entry of the audit log: an administrative change, a bulk action, or a change of routing."""

    id: int
    at: datetime
    action: str = Field(
        description="What was done: `key.revoke`, `quota.set`, …; `flip`: a change of routing; `plan`: a step of "
        "a plan."
    )
    subject: str = Field(description="What was changed: `tenant:acme`, `key:…`, ….")
    who: str | None = Field(description="User who made the change. Null: unknown.")
    why: str | None
    source: str = Field(
        description="How it was made: `http`, `grpc`, `command` or `gateway`. Of a flip: what holds the flag."
    )
    before: dict[str, Any] | None = Field(
        description="State before the change. Null: there was none, or it is not recorded."
    )
    after: dict[str, Any] | None = Field(
        description="State after the change. Null: there is none, or it is not recorded."
    )
    detail: dict[str, Any] = Field(description="Further facts, depending on the action.")
    request_id: str | None
    address: str | None = Field(description="Address of the client.")
    key_id: str | None = Field(description="API key that was used.")
    hash: str = Field(description="SHA-256 over the entry and the hash of the previous entry.")


class AuditPage(BaseModel):
    """Entries, newest first."""

    entries: list[AuditEntry]
    next_cursor: str | None = Field(description="Cursor of the next page. Null on the last page.")


class CloudEvent(BaseModel):
    """An entry as a CloudEvent (CloudEvents 1.0, JSON format)."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str
    data: dict[str, Any] = Field(description="The entry as OCSF API Activity (class 6003).")


class AuditEvents(BaseModel):
    """Events, oldest first."""

    events: list[CloudEvent]
    next_cursor: str | None = Field(
        description="Continues after these events, also at a later time. Null: there are no events yet."
    )


def _filter(
    action: Action = None,
    who: Annotated[str | None, Query(max_length=500, description="Return only changes by this user.")] = None,
    subject: Annotated[
        str | None, Query(max_length=500, description="Return only changes of this subject, for example `tenant:acme`.")
    ] = None,
    since: Annotated[
        Moment | None, Query(description="Return only entries from this time on. ISO 8601 with a UTC offset.")
    ] = None,
    before: Annotated[
        Moment | None, Query(description="Return only entries before this time. ISO 8601 with a UTC offset.")
    ] = None,
) -> EntryFilter:
    return EntryFilter(action, who, subject, since, before)


Which = Annotated[EntryFilter, Depends(_filter)]
Cursor = Annotated[str | None, Query()]
After = Annotated[int | None, Query(ge=0, lt=2**63, description="Return only events after the event with this ID.")]


@router.get("", response_model=AuditPage, responses=problem_errors(403))
async def list_audit_entries(request: Request, which: Which, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """List the entries of the audit log, newest first. For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    entries, following = await gateway.audit_trail.page(which, cursor=cursor, limit=limit)
    return json_answer({"entries": entries, "next_cursor": following})


@router.get("/events", response_model=AuditEvents, responses=problem_errors(403))
async def list_audit_events(
    request: Request, which: Which, limit: Limit = 100, cursor: Cursor = None, after: After = None
) -> Response:
    """Export the audit log as CloudEvents with OCSF API Activity, oldest first. For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    events, following = await gateway.audit_trail.events(which, cursor=cursor, limit=limit, after=after)
    return json_answer({"events": events, "next_cursor": following})
