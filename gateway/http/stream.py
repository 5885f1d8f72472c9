"""`GET /api/v1/tasks/{task_id}/stream`: Server-Sent Events, pushed (contract §3; quirks A1, S1)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.access.placement import Caller
from gateway.errors import ShuttingDown, TaskNotFound
from gateway.http.documents import event_stream, legacy_errors
from gateway.http.route import gateway_of
from gateway.http.task_answers import (
    StreamError,
    TaskLogResponse,
    TaskProgress,
    dump,
    task_log_response,
    task_progress,
)
from gateway.status.subscription import Subscription, SubscriptionEnded
from gateway.status.task_row import Status, TaskRow

router = APIRouter(prefix="/api/v1/tasks", tags=["tasks"])

_KEEPALIVE = b": keepalive\n\n"
#: Not a member of the class, from which FastAPI would document the whole stream as one string.
_MEDIA_TYPE = "text/event-stream"
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class EventStream(Response):
    """Sends the events of one task, and ends its subscription when the client leaves.

    `row` is the task as it stands, None when there is none. A stream is one task of the event loop that sends and one
    that waits for the client to leave; between events nothing else is kept.
    """

    def __init__(self, changes: Subscription, row: TaskRow | None, *, keepalive_seconds: float) -> None:
        super().__init__(headers=_HEADERS, media_type=_MEDIA_TYPE)
        del self.headers["content-length"]
        self._changes = changes
        self._row = row
        self._keepalive = keepalive_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        leaving = asyncio.create_task(self._close_when_left(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._send_events(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._changes.close()
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving

    async def _send_events(self, send: Send) -> None:
        async def emit(body: bytes) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": True})

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
                await emit(_KEEPALIVE)
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

    async def _close_when_left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._changes.close()


#: The last one that was made: the feed gives the same row to all who watch the task, one after the other.
_made: tuple[TaskRow | None, bytes] = (None, b"")


def _progress(row: TaskRow) -> bytes:
    global _made
    if _made[0] is not row:
        _made = (row, event("progress", task_progress(row)))
    return _made[1]


def event(name: str, data: dict[str, Any]) -> bytes:
    """One event in the wire's form."""
    return b"event: " + name.encode() + b"\ndata: " + dump(data) + b"\n\n"


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
