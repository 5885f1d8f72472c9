"""`GET /gateway/v1/tasks/stream`: tasks that have certain properties, as they change, as Server-Sent Events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from gateway.errors import DatabaseUnavailable, ShuttingDown
from gateway.http.documents import event_stream, problem_errors
from gateway.http.events import EventStream, event, keepalive
from gateway.http.route import KeyedRoute, gateway_of
from gateway.http.submissions import TaskFacts
from gateway.http.task_list import labels_of
from gateway.tasks.changes.any_task import AnyTaskSubscription
from gateway.tasks.queries.dispatch_view import facts
from gateway.tasks.queries.task_selection import Many, Selection, TaskSelector, Text, Wanted

router = APIRouter(tags=["tasks"], route_class=KeyedRoute)

#: Pause between two readings for one stream (seconds): changes are gathered in it.
_GATHER_SECONDS = 0.1
#: Any task.
_ANY = Selection.model_validate({})


class StreamedSelection(Selection):
    """Which tasks."""

    id: Annotated[list[Text], Many] = Field(description="Only these tasks")
    label: Annotated[list[Annotated[str, Field(max_length=320)]], Many] = Field(description="`key:value`; all of them")


class ChangedTasks(BaseModel):
    """Tasks that have changed, as they are now."""

    tasks: list[TaskFacts]
    others: list[str] = Field(description="Ids of the caller's tasks that have changed and are not wanted (any more)")


class MissedTasks(BaseModel):
    """More has changed than the stream tells: the list is to be read anew."""


@router.get(
    "/gateway/v1/tasks/stream",
    status_code=200,
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "`tasks` when some have changed; `missed` when the list is to be read anew",
            "content": event_stream(tasks=ChangedTasks, missed=MissedTasks),
        },
        **problem_errors(403),
    },
)
async def stream_tasks(request: Request, query: Annotated[StreamedSelection, Query()]) -> Response:
    """Follow a list of tasks.

    It tells what changes from now on. Read the list once the stream is open, also after a cut: then nothing is missed.
    """
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    wanted = Wanted(caller, query, labels_of(query.label))
    selector = TaskSelector(gateway.database)
    subscription = gateway.any_task_watch.subscribe().open()
    if subscription.is_closed:
        raise ShuttingDown(retry_after=1)
    try:
        await selector.page(replace(wanted, ids=[""]), limit=1)  # errors are answered as such
    except BaseException:
        subscription.close()
        raise
    keepalive_seconds = gateway.settings.stream_keepalive_seconds
    events = _events(subscription, selector, wanted, frozenset(query.id), keepalive_seconds)
    return EventStream(gateway, events, subscription, caller)


async def _events(
    subscription: AnyTaskSubscription,
    selector: TaskSelector,
    wanted: Wanted,
    only: frozenset[str],
    keepalive_seconds: float,
) -> AsyncIterator[ServerSentEvent]:
    while not subscription.is_closed:
        changed = await subscription.changes(keepalive_seconds)
        if subscription.is_closed:
            return
        if changed is None:
            yield keepalive()
            continue
        if changed.missed:
            yield event("missed", {})
        ids = [task_id for task_id in changed.ids if not only or task_id in only]
        try:
            data = await _read(selector, wanted, ids)
        except DatabaseUnavailable:
            # The listener is cut off as well, and says so when it is back.
            yield event("missed", {})
        else:
            if data["tasks"] or data["others"]:
                yield event("tasks", data)
        await asyncio.sleep(_GATHER_SECONDS)


async def _read(selector: TaskSelector, wanted: Wanted, ids: list[str]) -> dict[str, list[object]]:
    """Of these tasks those that the caller sees. Raises `DatabaseUnavailable`."""
    if not ids:
        return {"tasks": [], "others": []}
    rows = await selector.page(replace(wanted, ids=ids), limit=len(ids))
    found = {row["task_id"] for row in rows}
    rest = [task_id for task_id in ids if task_id not in found]
    seen = Wanted(wanted.caller, _ANY, {}, ids=rest)
    others = await selector.positions(seen, limit=len(rest)) if rest else []
    return {"tasks": [facts(row) for row in rows], "others": [place.task_id for place in others]}
