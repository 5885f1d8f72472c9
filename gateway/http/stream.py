"""`GET /api/v1/tasks/{task_id}/stream`: Server-Sent Events, pushed (contract §3; quirks A1, S1)."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.access.placement import Caller
from gateway.errors import ShuttingDown, TaskNotFound
from gateway.http.documents import event_stream, legacy_errors
from gateway.http.events import KEEPALIVE, Emit, EventResponse, event
from gateway.http.route import gateway_of
from gateway.http.task_answers import (
    StreamError,
    TaskLogResponse,
    TaskProgress,
    task_log_response,
    task_progress,
)
from gateway.tasks.changes.subscription import Subscription, SubscriptionEnded
from gateway.tasks.queries.task_row import Status, TaskRow

router = APIRouter(prefix="/api/v1/tasks", tags=["tasks"])


class EventStream(EventResponse):
    """The events of one task; `row` is the task as it stands, None when there is none."""

    def __init__(self, changes: Subscription, row: TaskRow | None, *, keepalive_seconds: float) -> None:
        super().__init__(changes)
        self._changes = changes
        self._row = row
        self._keepalive = keepalive_seconds

    async def send_events(self, emit: Emit) -> None:
        row = self._row
        if row is None:
            await emit(event("error", {"error": "Task not found"}))
            return
        shown = None if row.is_finished else (row.status, row.progress)
        if shown is not None:
            await emit(_progress(row))
        while not row.is_finished:
            try:
                row = await self._changes.get(self._keepalive)
            except TimeoutError:
                await emit(KEEPALIVE)
                continue
            except TaskNotFound:
                await emit(event("error", {"error": "Task disappeared from database"}))
                return
            except SubscriptionEnded:
                return
            if (row.status, row.progress) != shown:
                shown = (row.status, row.progress)
                await emit(_progress(row))
        name = "completed" if row.status == Status.COMPLETED else "failed"
        await emit(event(name, task_log_response(row)))


#: The last one that was made: the feed gives the same row to all who watch the task, one after the other.
_made: tuple[TaskRow | None, bytes] = (None, b"")


def _progress(row: TaskRow) -> bytes:
    global _made
    if _made[0] is not row:
        _made = (row, event("progress", task_progress(row)))
    return _made[1]


@router.get(
    "/{task_id}/stream",
    status_code=200,
    response_class=EventStream,
    responses={
        200: {
            "description": "Events `progress`, then `completed` or `failed`; `error` for a task that does not exist",
            "content": event_stream(
                progress=TaskProgress, completed=TaskLogResponse, failed=TaskLogResponse, error=StreamError
            ),
        },
        **legacy_errors(),
    },
)
async def stream_task(request: Request, task_id: str) -> Response:
    """Follow a task to its end.

    Browsers' `EventSource` sends no key: without one the task id, which nobody can guess, is enough (a setting). A key
    that is sent must be valid and its owner allowed to see the task.
    """
    gateway = gateway_of(request)
    authorization = request.headers.get("authorization")
    caller: Caller | None = None
    if authorization or not gateway.settings.stream_without_key:
        caller = await gateway.access.authenticate(authorization)
    changes = gateway.feed.subscribe(task_id).open()
    try:
        row = await _present_state(changes, caller)
    except BaseException:
        changes.close()
        raise
    return EventStream(changes, row, keepalive_seconds=gateway.settings.stream_keepalive_seconds)


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
    return row if caller is None or caller.sees(row.tenant_id) else None
