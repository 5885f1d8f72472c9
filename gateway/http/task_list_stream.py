"""`GET /gateway/v1/tasks/stream`: tasks that have certain properties, as they change, as Server-Sent Events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from gateway.errors import ShuttingDown
from gateway.http.events import EventStream, event, keepalive
from gateway.http.openapi_errors import event_stream, problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.http.submissions import TaskFacts
from gateway.http.task_list import LabelText, labels_of
from gateway.tasks.changes.list_following import ListFollowing
from gateway.tasks.queries.dispatch_view import facts
from gateway.tasks.queries.task_selection import Many, Selection, TaskSelector, Text, Wanted

router = APIRouter(tags=["tasks"], route_class=KeyedRoute)


class StreamedSelection(Selection):
    """Which tasks."""

    id: Annotated[list[Text], Many] = Field(
        description="A task ID. Repeat the parameter for several tasks. Default: all tasks."
    )
    label: Annotated[list[LabelText], Many] = Field(
        description="A label, as `key:value`. Repeat the parameter for several labels: a task must have all of them."
    )


class ChangedTasks(BaseModel):
    """Tasks that have changed, in their current state."""

    tasks: list[TaskFacts] = Field(description="Changed tasks that match the filters. Empty in the first event.")
    others: list[str] = Field(
        description="IDs of tasks that the caller may see, that have changed, and that do not, or no longer, "
        "match the filters."
    )


class MissedTasks(BaseModel):
    """Some changes were not sent on this stream. Read the list again."""


@router.get(
    "/gateway/v1/tasks/stream",
    status_code=200,
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "`tasks`: at once, with no tasks in it, and each time that tasks change. `missed`: some "
            "changes were not sent; read the list again",
            "content": event_stream(tasks=ChangedTasks, missed=MissedTasks),
        },
        **problem_errors(403),
    },
)
async def stream_tasks(request: Request, query: Annotated[StreamedSelection, Query()]) -> Response:
    """Follow a list of tasks as Server-Sent Events.

    The stream sends changes from its first event on. To miss none, read the list after the first event, and again after
    each reconnect and each `missed` event.
    """
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    wanted = Wanted(caller, query, labels_of(query.label), ids=query.id)
    subscription = gateway.any_task_watch.subscribe().open()
    if subscription.is_closed:
        raise ShuttingDown(retry_after=1)
    following = ListFollowing(subscription, TaskSelector(gateway.database), wanted)
    try:
        await following.check()  # errors are answered as such
    except BaseException:
        subscription.close()
        raise
    events = _events(following, gateway.settings.stream_keepalive_seconds)
    return EventStream(gateway, events, subscription, caller)


async def _events(following: ListFollowing, keepalive_seconds: float) -> AsyncIterator[ServerSentEvent]:
    is_open = False
    async for change in following.changes(keepalive_seconds):
        if change is None:
            yield keepalive()
            continue
        if change.missed:
            yield event("missed", {})
        if change.rows or change.others or not is_open:
            yield event("tasks", {"tasks": [facts(row) for row in change.rows], "others": list(change.others)})
        is_open = True
