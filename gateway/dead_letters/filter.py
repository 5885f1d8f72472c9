"""Filters of dead letters, the same in the query of a list and in the body of an action."""

from __future__ import annotations

from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from gateway.access.placement import Caller
from gateway.moment import Moment
from gateway.storage.paging import Place
from gateway.storage.queries import Conditions, Queries

SQL = Queries("gateway.dead_letters", "dead_letters.sql")

Kind = Literal["task", "payload"]
State = Literal["open", "redriven", "dismissed"]
Reason = Literal["attempts_exhausted", "not_retryable", "refused", "expired", "ended_elsewhere", "not_a_task"]
#: Ids are names of tasks, which others may have chosen.
Text = Annotated[str, Field(min_length=1, max_length=1000)]


class LetterFilter(BaseModel):
    """Filters for dead letters. All given filters must match; without any, all open dead letters match."""

    model_config = ConfigDict(extra="forbid")

    tenant_id: Text | None = None
    project_id: Text | None = None
    type: Text | None = Field(None, description="Task type.")
    backend: Text | None = None
    kind: Kind | None = None
    reason: Reason | None = None
    error: Annotated[
        Text | None, Field(description="Only dead letters whose error contains this text (case-insensitive).")
    ] = None
    error_type: Text | None = None
    untyped: Annotated[bool, Field(description="Only dead letters whose error has no type.")] = False
    died_after: Moment | None = Field(None, description="Only dead letters that failed at this time or later.")
    died_before: Moment | None = Field(None, description="Only dead letters that failed before this time.")
    labels: Annotated[
        dict[str, str] | None,
        Field(max_length=50, description="Only dead letters of tasks that have all of these labels."),
    ] = None
    ids: Annotated[list[Text] | None, Field(min_length=1, max_length=1000, description="Only these dead letters.")] = (
        None
    )
    state: State = "open"


def where(caller: Caller, which: LetterFilter, after: Place | None = None) -> Conditions:
    """The condition on `taskgate.dead_letter l`."""
    found = Conditions()
    found.add(SQL.where_state, which.state)
    if not caller.is_admin:
        found.add(SQL.where_tenants, sorted(caller.tenant_ids))
    found.add_given(
        (SQL.where_tenant, which.tenant_id),
        (SQL.where_project, which.project_id),
        (SQL.where_type, which.type),
        (SQL.where_backend, which.backend),
        (SQL.where_kind, which.kind),
        (SQL.where_reason, which.reason),
        (SQL.where_error, None if which.error is None else f"%{_escape_like(which.error)}%"),
        (SQL.where_error_type, which.error_type),
        (SQL.where_untyped, which.untyped or None),
        (SQL.where_died_after, which.died_after),
        (SQL.where_died_before, which.died_before),
        (SQL.where_labels, None if which.labels is None else orjson.dumps(which.labels).decode()),
        (SQL.where_ids, which.ids),
    )
    if after is not None:
        found.add(SQL.where_beyond, after.at, after.id)
    return found


def _escape_like(text: str) -> str:
    """Text that stands for itself in a LIKE pattern."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
