"""`/api/v1/tasks`: reading and steering tasks (contract §2; quirks A1, T1, T2, T3)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from gateway.access.placement import Caller
from gateway.errors import UniqueKeyTaken
from gateway.http.openapi_errors import legacy_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.http.task_answers import (
    Message,
    QueueDepthResponse,
    StatusBreakdown,
    TaskList,
    TaskLogResponse,
    TaskStatsResponse,
    dump,
    json_response,
    task_list,
    task_log_response,
)
from gateway.submission.unique_keys import as_told
from gateway.tasks.queries.task_log import Position
from gateway.tasks.queries.task_row import TaskRow

router = APIRouter(prefix="/api/v1/tasks", tags=["tasks"], route_class=KeyedRoute)

#: Tasks that are read at once.
_PAGE = 1000
_LARGEST_LIMIT = 2**63 - 1
_LARGEST_OFFSET = 2**31 - 1

_Text = Annotated[str | None, Query()]


async def _caller(request: Request) -> Caller:
    return await gateway_of(request).access.authenticate(request.headers.get("authorization"))


@router.get("/stats", response_model=TaskStatsResponse, responses=legacy_errors())
async def get_task_stats(request: Request) -> Response:
    """Count the tasks that the caller may see, by status, and compute their throughput and error rate."""
    return json_response(asdict(await gateway_of(request).task_log.stats(await _caller(request))))


@router.get("/queue-depth", response_model=list[QueueDepthResponse], responses=legacy_errors())
async def get_queue_depth(request: Request) -> Response:
    """Return how many tasks were pending or running at nine points in the last 24 hours, three hours apart, oldest
    first."""
    points = await gateway_of(request).task_log.queue_depth(await _caller(request))
    return json_response([asdict(point) for point in points])


@router.get("/status-breakdown", response_model=StatusBreakdown, responses=legacy_errors())
async def get_status_breakdown(request: Request) -> Response:
    """Count the tasks that were created in the last 24 hours, by status."""
    return json_response(await gateway_of(request).task_log.status_breakdown(await _caller(request)))


@router.get("/recent", response_model=list[TaskLogResponse], responses=legacy_errors())
async def list_recent_tasks(
    request: Request,
    status: Annotated[
        str | None,
        Query(
            description="Return only tasks with this status (`Pending`, `Processing`, `Completed`, `Failed` or "
            "`Stopped`; case-insensitive). Default, and for `All Statuses`: all."
        ),
    ] = None,
    task_type: Annotated[
        str | None, Query(description="Return only tasks of this type. Default, and for `All Types`: all.")
    ] = None,
    search: Annotated[
        str | None, Query(description="Return only tasks whose ID or worker ID contains this text (case-insensitive).")
    ] = None,
    entity_id: _Text = None,
    entity_type: _Text = None,
    limit: Annotated[
        int, Query(ge=0, le=_LARGEST_LIMIT, description="Maximum number of tasks to return. There is no upper limit.")
    ] = 50,
    offset: Annotated[int, Query(ge=0, le=_LARGEST_OFFSET)] = 0,
) -> Response:
    """List the tasks that the caller may see, newest first."""
    read = partial(
        gateway_of(request).task_log.recent,
        await _caller(request),
        status=status,
        task_type=task_type,
        search=search,
        entity_id=entity_id,
        entity_type=entity_type,
    )
    # Before the answer begins, so that what is wrong has a status.
    rows = await read(limit=min(limit, _PAGE), offset=offset)
    if len(rows) < _PAGE:
        return json_response([task_log_response(row) for row in rows])
    return StreamingResponse(_one_list(rows, read, limit), media_type="application/json")


async def _one_list(
    rows: list[TaskRow], read: Callable[..., Awaitable[list[TaskRow]]], limit: int
) -> AsyncIterator[bytes]:
    """The bytes of one JSON list that begins with these: the legacy server has no longest list, but a page of it is all
    that stands in memory at a time."""
    yield dump([task_log_response(row) for row in rows])[:-1]
    while len(rows) == _PAGE and (limit := limit - _PAGE) > 0:
        rows = await read(limit=min(limit, _PAGE), after=Position(rows[-1].created_at, rows[-1].id))
        if rows:
            yield b"," + dump([task_log_response(row) for row in rows])[1:-1]
    yield b"]"


@router.get("/", response_model=TaskList, responses=legacy_errors())
async def list_legacy_tasks(
    request: Request,
    status: Annotated[
        str | None,
        Query(
            description="Return only tasks with this status: `pending`, `running`, `completed`, `failed` or "
            "`cancelled` (case-insensitive). Default: all."
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """List the tasks that the caller may see, newest first, in the format of the first task API."""
    rows = await gateway_of(request).task_log.list(await _caller(request), status=status, limit=limit)
    return json_response(task_list(rows))


@router.get("/{task_id}", response_model=TaskLogResponse, responses=legacy_errors(404))
async def get_legacy_task(request: Request, task_id: str) -> Response:
    """Return one task. A task of a tenant that the caller does not belong to is answered 404."""
    return json_response(task_log_response(await gateway_of(request).task_log.get(task_id, await _caller(request))))


@router.post("/{task_id}/retry", response_model=Message, responses=legacy_errors(400, 404))
async def retry_task(request: Request, task_id: str) -> Response:
    """Run a failed or stopped task again, on the backend that its tenant uses now."""
    gateway = gateway_of(request)
    caller = await _caller(request)
    await gateway.task_log.get(task_id, caller)
    try:
        await gateway.transitions.retry(task_id)
    except UniqueKeyTaken as taken:
        raise as_told(taken, caller) from None
    return json_response({"message": "Task retried successfully"})


@router.post("/{task_id}/stop", response_model=Message, responses=legacy_errors(400, 404))
async def stop_task(request: Request, task_id: str) -> Response:
    """Stop a task that is pending or running. Its status becomes `Failed`, with the error "Task stopped by user"."""
    gateway = gateway_of(request)
    await gateway.task_log.get(task_id, await _caller(request))
    await gateway.transitions.stop(task_id)
    return json_response({"message": "Task marked as stopped"})


@router.post("/{task_id}/cancel", response_model=Message, responses=legacy_errors(400, 404))
async def cancel_task(request: Request, task_id: str) -> Response:
    """Stop a task: another name of `POST /api/v1/tasks/{task_id}/stop`."""
    return await stop_task(request, task_id)
