"""Calls of `TaskService` on what the gateway knows of tasks in its care, beside their `task_logs` rows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from taskgate.v1 import (
    DescribeRequest,
    DescribeResponse,
    GetPayloadRequest,
    GetPayloadResponse,
    QueueDepthRequest,
    QueueDepthResponse,
    SelectRequest,
    SelectResponse,
    SetRunTimeRequest,
    SetRunTimeResponse,
    StatusBreakdownRequest,
    StatusBreakdownResponse,
    TaskFacts,
    WatchSelectionRequest,
    WatchSelectionResponse,
)

from gateway.dispatch.waiting_reason import WaitingReasons
from gateway.ingress.foreign import past_gateway_of
from gateway.operations.operations import TaskSelection
from gateway.rpc.calls import Send, Unbroken
from gateway.rpc.messages import checked, facts_of, fill
from gateway.rpc.pages import fitting, own_token, page_of, size_of
from gateway.rpc.requests import storable
from gateway.rpc.stream_end import say_why
from gateway.submission.requests import RunAt
from gateway.tasks.changes.list_following import ListFollowing
from gateway.tasks.lifecycle.run_time import set_run_time
from gateway.tasks.queries.cursor import cursor_of, position_at
from gateway.tasks.queries.dispatch_view import DispatchView, facts
from gateway.tasks.queries.task_log import Position
from gateway.tasks.queries.task_selection import TaskSelector, Wanted

if TYPE_CHECKING:
    from gateway.gateway import Gateway


class Selections:
    """Calls of `TaskService`."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._access = gateway.access
        self._task_log = gateway.task_log
        self._database = gateway.database
        self._view = DispatchView(gateway.database)
        self._reasons = WaitingReasons(gateway.database, gateway.router, gateway.engines)
        self._selector = TaskSelector(gateway.database)
        self._any_task_watch = gateway.any_task_watch
        self._dead_letters = gateway.dead_letters
        self._patience = gateway.settings.stream_keepalive_seconds
        self._unbroken = unbroken

    async def describe(self, authorization: str | None, request: DescribeRequest) -> DescribeResponse:
        """One task."""
        task_id = storable(request.task_id, "task_id")
        row, attempts = await self._view.get(task_id, await self._access.authenticate(authorization))
        known = {"attempts": attempts, "waiting_because": await self._reasons.of(row)}
        return fill(DescribeResponse(facts=_shown(row)), known)

    async def select(self, authorization: str | None, request: SelectRequest) -> SelectResponse:
        """A page of tasks, newest first."""
        size = size_of(request.page_size, default=50, largest=500)
        which = checked(TaskSelection, facts_of(request.filter, "filter"), "filter")
        filters = which.model_dump(mode="json", exclude_defaults=True)
        caller = await self._access.authenticate(authorization)
        with own_token():
            after = position_at(request.page_token, filters)
        rows, beside = await asyncio.gather(
            self._selector.page(Wanted(caller, which, which.labels, ids=which.ids), limit=size + 1, after=after),
            past_gateway_of(self._database, caller, which.tenant_id),
        )
        tasks, token = page_of(
            rows[:size],
            _shown,
            lambda row: cursor_of(Position(row["created_at"], row["task_id"]), filters),
            more=len(rows) > size,
        )
        response = SelectResponse(tasks=tasks, next_page_token=token)
        return fill(response, {"past_gateway": asdict(beside)})

    async def watch(self, authorization: str | None, request: WatchSelectionRequest, send: Send) -> None:
        """Send what changes of a list, until the client leaves."""
        which = checked(TaskSelection, facts_of(request.filter, "filter"), "filter")
        caller = await self._access.authenticate(authorization)
        wanted = Wanted(caller, which, which.labels, ids=which.ids)
        subscription = self._any_task_watch.subscribe().open()
        try:
            following = ListFollowing(subscription, self._selector, wanted)
            await following.check()
            with self._access.watch_key(caller, subscription.close):
                async for change in following.changes(self._patience):
                    if change is not None:
                        tasks = fitting(_shown(row) for row in change.rows)
                        answer = WatchSelectionResponse(tasks=tasks, others=change.others, missed=change.missed)
                        await send(answer.SerializeToString())
                        rest = change.rows[len(tasks) :]
                        while rest:
                            tasks = fitting(_shown(row) for row in rest)
                            await send(WatchSelectionResponse(tasks=tasks).SerializeToString())
                            rest = rest[len(tasks) :]
            await say_why(self._access, caller, authorization)
        finally:
            subscription.close()

    async def payload(self, authorization: str | None, request: GetPayloadRequest) -> GetPayloadResponse:
        """What a task was given."""
        task_id = storable(request.task_id, "task_id")
        await self._task_log.get(task_id, await self._access.authenticate(authorization))
        payload, size, is_cut = await self._dead_letters.payload_of_task(task_id)
        return fill(GetPayloadResponse(), {"payload": payload, "bytes": size, "is_cut": is_cut})

    async def set_run_time(self, authorization: str | None, request: SetRunTimeRequest) -> SetRunTimeResponse:
        """Another time for a task that waits."""
        given = facts_of(request)
        task_id = given.pop("task_id", "")
        due = checked(RunAt, given).due()
        await self._task_log.get(task_id, await self._access.authenticate(authorization))
        run_at = await self._unbroken.run(set_run_time(self._database, task_id, due))
        return fill(SetRunTimeResponse(), {"run_at": run_at})

    async def queue_depth(self, authorization: str | None, request: QueueDepthRequest) -> QueueDepthResponse:
        """How many tasks waited or ran, over the last day."""
        response = QueueDepthResponse()
        for point in await self._task_log.queue_depth(await self._access.authenticate(authorization)):
            response.points.add(timestamp=point.timestamp, depth=point.depth)
        return response

    async def breakdown(self, authorization: str | None, request: StatusBreakdownRequest) -> StatusBreakdownResponse:
        """Where tasks of the last day stand."""
        found = await self._task_log.status_breakdown(await self._access.authenticate(authorization))
        return fill(StatusBreakdownResponse(), {word.lower(): number for word, number in found.items()})


def _shown(row: Mapping[str, Any]) -> TaskFacts:
    return fill(TaskFacts(), {**facts(row), "status": row["status"]})
