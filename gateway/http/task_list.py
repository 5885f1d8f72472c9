"""`GET /gateway/v1/tasks`: tasks by any of their properties."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.errors import InvalidRequest
from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.past_gateway import PastGateway
from gateway.http.route import KeyedRoute, gateway_of
from gateway.http.submissions import TaskFacts
from gateway.ingress.foreign import past_gateway_of
from gateway.submission.requests import LONGEST_LABEL, LONGEST_LABEL_KEY
from gateway.tasks.queries.cursor import cursor_of, position_at
from gateway.tasks.queries.dispatch_view import facts
from gateway.tasks.queries.task_log import Position
from gateway.tasks.queries.task_selection import Many, Selection, TaskSelector, Wanted

router = APIRouter(tags=["tasks"], route_class=KeyedRoute)

_LARGEST_PAGE = 500

#: A label as `key:value`: any that a task can have.
LabelText = Annotated[str, Field(max_length=LONGEST_LABEL_KEY + len(":") + LONGEST_LABEL)]


class TaskListQuery(Selection):
    """Filters, and which page."""

    label: Annotated[list[LabelText], Many] = Field(
        description="A label, as `key:value`. Repeat the parameter for several labels: a task must have all of them."
    )
    limit: Annotated[int, Field(ge=1, le=_LARGEST_PAGE)] = 50
    cursor: Annotated[
        str | None,
        Field(
            description="The `next_cursor` value of the previous page. It is only valid with the same filters. "
            "Default: the first page."
        ),
    ] = None


class TaskPage(BaseModel):
    """One page of tasks, newest first."""

    tasks: list[TaskFacts]
    next_cursor: str | None = Field(description="Cursor of the next page. Null on the last page.")
    past_gateway: PastGateway = Field(
        description="Tasks of the caller's tenants (or of `tenant_id`) that bypass the gateway. They are not "
        "among `tasks`, and the other filters do not apply to them."
    )


@router.get("/gateway/v1/tasks", response_model=TaskPage, responses=problem_errors(403))
async def list_tasks(request: Request, query: Annotated[TaskListQuery, Query()]) -> Response:
    """List the tasks that the caller may see and that match all given filters, newest first."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    labels = labels_of(query.label)
    filters = query.model_dump(mode="json", exclude={"limit", "cursor"}, exclude_defaults=True)
    after = position_at(query.cursor, filters)
    wanted = Wanted(caller, query, labels)
    rows, beside = await asyncio.gather(
        TaskSelector(gateway.database).page(wanted, limit=query.limit + 1, after=after),
        past_gateway_of(gateway.database, caller, query.tenant_id),
    )
    cursor = None
    if len(rows) > query.limit:
        last = rows[query.limit - 1]
        cursor = cursor_of(Position(last["created_at"], last["task_id"]), filters)
    tasks = [facts(row) for row in rows[: query.limit]]
    return json_answer({"tasks": tasks, "next_cursor": cursor, "past_gateway": asdict(beside)})


def labels_of(texts: list[str]) -> dict[str, str]:
    """Labels as `key:value` texts. Raises `InvalidRequest`."""
    labels: dict[str, str] = {}
    for text in texts:
        key, separator, value = text.partition(":")
        if not key or not separator:
            raise InvalidRequest(
                "A label has no `:`; write a key, `:` and a value, such as team:search.", field="label"
            )
        if labels.setdefault(key, value) != value:
            raise InvalidRequest("A label has one value.", field="label")
    return labels
