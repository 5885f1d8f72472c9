"""`GET /api/v1/tasks/{task_id}/stream`: Server-Sent Events, pushed (contract §3; quirks A1, S1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from fastapi import APIRouter, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from gateway.access.placement import Caller
from gateway.access.standing import visibility_of
from gateway.errors import ShuttingDown, TaskNotFound
from gateway.http.events import EventStream, event, keepalive
from gateway.http.openapi_errors import event_stream, legacy_errors
from gateway.http.route import RuledRoute, gateway_of
from gateway.http.session_cookies import SESSION_TOKEN
from gateway.http.task_answers import (
    StreamError,
    TaskLogResponse,
    TaskProgress,
    task_log_response,
    task_progress,
)
from gateway.submission.ids import can_be_computed
from gateway.tasks.changes.subscription import Subscription, SubscriptionEnded
from gateway.tasks.queries.task_row import Status, TaskRow

router = APIRouter(prefix="/api/v1/tasks", tags=["tasks"], route_class=RuledRoute)


async def _events(
    changes: Subscription, row: TaskRow | None, *, keepalive_seconds: float
) -> AsyncIterator[ServerSentEvent]:
    """The events of one task; `row` is the task as it stands, None when there is none."""
    if row is None:
        yield event("error", {"error": "Task not found"})
        return
    shown = None if row.is_finished else (row.status, row.progress)
    if shown is not None:
        yield event("progress", task_progress(row))
    while not row.is_finished:
        try:
            row = await changes.get(keepalive_seconds)
        except TimeoutError:
            yield keepalive()
            continue
        except TaskNotFound:
            yield event("error", {"error": "Task disappeared from database"})
            return
        except SubscriptionEnded:
            return
        if (row.status, row.progress) != shown:
            shown = (row.status, row.progress)
            yield event("progress", task_progress(row))
    yield event("completed" if row.status == Status.COMPLETED else "failed", task_log_response(row))


@router.get(
    "/{task_id}/stream",
    status_code=200,
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "`progress`: the current state, and each change. `completed` or `failed`: the end of the "
            "task; the stream ends. `error`: the task does not exist",
            "content": event_stream(
                progress=TaskProgress, completed=TaskLogResponse, failed=TaskLogResponse, error=StreamError
            ),
        },
        **legacy_errors(),
    },
)
async def stream_task(request: Request, task_id: str) -> Response:
    """Follow a task to its end as Server-Sent Events.

    Browsers' `EventSource` cannot send a key. Unless `TASKGATE_STREAM_WITHOUT_KEY` is false, the stream therefore needs
    none: the task ID, which nobody can guess, is enough. IDs of tasks of schedules and of nodes of DAG runs can be
    computed: without a key there are no such tasks. If a key or session is sent, it must be valid, and its user must be
    allowed to see the task.
    """
    gateway = gateway_of(request)
    authorization = request.headers.get("authorization")
    caller: Caller | None = None
    if authorization or SESSION_TOKEN in request.scope or not gateway.settings.stream_without_key:
        caller = await gateway.access.authenticate(authorization)
    changes = gateway.feed.subscribe(task_id).open()
    try:
        row = await _present_state(changes, caller)
    except BaseException:
        changes.close()
        raise
    events = _events(changes, row, keepalive_seconds=gateway.settings.stream_keepalive_seconds)
    if caller is not None:
        # Clients do not expect an end (contract §3): only what the caller no longer sees ends the stream, not a role.
        caller = replace(caller, standing=visibility_of(caller.standing))
    return EventStream(gateway, events, changes, caller)


async def _present_state(changes: Subscription, caller: Caller | None) -> TaskRow | None:
    """The task as it stands; None when there is none that the caller may see.

    Raises `DatabaseUnavailable`, `ShuttingDown`.
    """
    try:
        row = await changes.get()
    except TaskNotFound:
        return None
    except SubscriptionEnded:
        raise ShuttingDown(retry_after=1) from None
    if caller is None:  # then the id is what allows it
        return None if can_be_computed(row.id) else row
    return row if caller.sees(row.tenant_id, row.project_id) else None
