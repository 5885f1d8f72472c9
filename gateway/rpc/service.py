"""`taskgate.v1.TaskService`: its calls use the same use cases as the HTTP face."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from taskgate.v1 import (
    DescribeRequest,
    GetOverviewRequest,
    GetOverviewResponse,
    GetPayloadRequest,
    GetRequest,
    GetResponse,
    ListRequest,
    ListResponse,
    QueueDepthRequest,
    RetryRequest,
    RetryResponse,
    SelectRequest,
    SetRunTimeRequest,
    StatsRequest,
    StatsResponse,
    StatusBreakdownRequest,
    StopRequest,
    StopResponse,
    SubmitBatchRequest,
    SubmitRequest,
    WatchRequest,
    WatchSelectionRequest,
)

from gateway.errors import UniqueKeyTaken
from gateway.ingress.foreign import past_gateway_of
from gateway.rpc.calls import KeyedCalls, Method, Unbroken
from gateway.rpc.failures import invalid
from gateway.rpc.messages import fill
from gateway.rpc.pages import page_of, position_of, size_of, token_after
from gateway.rpc.selections import Selections
from gateway.rpc.submissions import Submitter
from gateway.rpc.tasks import STATUS_OF, hidden_by, task_of
from gateway.rpc.watch import Watcher
from gateway.submission.unique_keys import as_told
from gateway.tasks.queries.task_log import TaskFilter

if TYPE_CHECKING:
    from gateway.gateway import Gateway

SERVICE = "taskgate.v1.TaskService"

_PAGE, _LARGEST_PAGE = 50, 200


class TaskService:
    """The calls of the service. Each raises what `gateway.errors` has for it."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._access = gateway.access
        self._database = gateway.database
        self._task_log = gateway.task_log
        self._transitions = gateway.transitions
        self._overview = gateway.overview
        self._watcher = Watcher(gateway.access, gateway.feed)
        self._submitter = Submitter(gateway, unbroken)
        self._selections = Selections(gateway, unbroken)
        self._unbroken = unbroken

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "Submit": calls.unary(SubmitRequest, self._submitter.submit),
            "SubmitBatch": calls.collecting(
                SubmitBatchRequest, self._submitter.collect_batch, self._submitter.submit_batch
            ),
            "Get": calls.unary(GetRequest, self.get),
            "List": calls.unary(ListRequest, self.list),
            "Retry": calls.unary(RetryRequest, self.retry),
            "Stop": calls.unary(StopRequest, self.stop),
            "Watch": calls.streaming(WatchRequest, self._watcher.watch),
            "Stats": calls.unary(StatsRequest, self.stats),
            "Describe": calls.unary(DescribeRequest, self._selections.describe),
            "Select": calls.unary(SelectRequest, self._selections.select),
            "WatchSelection": calls.streaming(WatchSelectionRequest, self._selections.watch),
            "GetPayload": calls.unary(GetPayloadRequest, self._selections.payload),
            "SetRunTime": calls.unary(SetRunTimeRequest, self._selections.set_run_time),
            "QueueDepth": calls.unary(QueueDepthRequest, self._selections.queue_depth),
            "StatusBreakdown": calls.unary(StatusBreakdownRequest, self._selections.breakdown),
            "GetOverview": calls.unary(GetOverviewRequest, self.overview),
        }

    async def get(self, authorization: str | None, request: GetRequest) -> GetResponse:
        """One task."""
        hidden = hidden_by(request.read_mask)
        caller = await self._access.authenticate(authorization)
        return GetResponse(task=task_of(await self._task_log.get(request.task_id, caller), hidden))

    async def list(self, authorization: str | None, request: ListRequest) -> ListResponse:
        """A page of tasks, newest first."""
        hidden = hidden_by(request.read_mask)
        size = size_of(request.page_size, default=_PAGE, largest=_LARGEST_PAGE)
        if request.status and request.status not in STATUS_OF:
            raise invalid("status", "not a status")
        which = TaskFilter(
            status=STATUS_OF.get(request.status),
            task_type=request.task_type or None,
            search=request.search or None,
            entity_id=request.entity_id or None,
            entity_type=request.entity_type or None,
            after=position_of(request),
        )
        caller = await self._access.authenticate(authorization)
        rows, beside = await asyncio.gather(
            self._task_log.select(caller, which, limit=size + 1), past_gateway_of(self._database, caller)
        )
        tasks, token = page_of(
            rows[:size], lambda row: task_of(row, hidden), lambda row: token_after(row, request), more=len(rows) > size
        )
        response = ListResponse(tasks=tasks, next_page_token=token)
        return fill(response, {"past_gateway": asdict(beside)})

    async def stats(self, authorization: str | None, request: StatsRequest) -> StatsResponse:
        """Figures over the caller's tasks."""
        figures = await self._task_log.stats(await self._access.authenticate(authorization))
        return StatsResponse(
            total=figures.total,
            pending=figures.pending,
            processing=figures.processing,
            completed=figures.completed,
            failed=figures.failed,
            throughput_per_minute=figures.throughput_per_minute,
            error_rate=figures.error_rate,
        )

    async def overview(self, authorization: str | None, request: GetOverviewRequest) -> GetOverviewResponse:
        """How tasks flow, and what needs attention."""
        picture = await self._overview.look(await self._access.authenticate(authorization))
        return fill(GetOverviewResponse(), asdict(picture))

    async def retry(self, authorization: str | None, request: RetryRequest) -> RetryResponse:
        """Run a failed or stopped task again."""
        caller = await self._access.authenticate(authorization)
        await self._task_log.get(request.task_id, caller)
        try:
            await self._unbroken.run(self._transitions.retry(request.task_id))
        except UniqueKeyTaken as taken:
            raise as_told(taken, caller) from None
        return RetryResponse(task=task_of(await self._task_log.get(request.task_id, None)))

    async def stop(self, authorization: str | None, request: StopRequest) -> StopResponse:
        """Stop a pending or running task."""
        await self._task_log.get(request.task_id, await self._access.authenticate(authorization))
        await self._unbroken.run(self._transitions.stop(request.task_id))
        return StopResponse(task=task_of(await self._task_log.get(request.task_id, None)))
