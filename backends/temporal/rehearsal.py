"""`TemporalRehearsal`: compiles starts as `TemporalEngine` would send them, and keeps them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    StartActivityExecutionRequest,
    StartWorkflowExecutionRequest,
)

from backends.port import WorkflowStart
from backends.rehearsal import Objection, ProbeAnswer
from backends.temporal import names, starts
from backends.temporal.connection import Connection, Session
from backends.temporal.errors import Purpose
from backends.temporal.probes import Probes

#: The server's limits with their default settings: an input, a request (gRPC), a name.
LARGEST_INPUT = 2 * 1024 * 1024
LARGEST_REQUEST = 4 * 1024 * 1024
LONGEST_NAME = 1000
#: A poll waits for up to a minute, and counts from its beginning; a poller that is silent for longer has gone.
SILENT = timedelta(seconds=75)
#: What was found out about a queue is used for so long (seconds).
REMEMBERED_SECONDS = 2.0
#: Queues that are remembered, at most.
MOST_QUEUES = 10_000


class TemporalRehearsal:
    """`RehearsalPort` on a connection of the engine. `inline_bytes`, `heartbeat`: as the engine's."""

    def __init__(self, connection: Connection, inline_bytes: int, heartbeat: timedelta) -> None:
        self._connection = connection
        self._inline_bytes = inline_bytes
        self._heartbeat = heartbeat
        self._probes = Probes(connection, inline_bytes)
        self._polled: dict[tuple[str, int], tuple[float, bool]] = {}

    async def check(self, start: WorkflowStart) -> Sequence[Objection]:
        session = await self._connection.session()
        try:
            request = await self._compiled(session, start)
        except (TypeError, ValueError, OverflowError) as error:
            return [Objection("not_encodable", type(error).__name__)]
        found = [*_size(request), *_names(start, request.task_queue.name), *_attributes(start, session)]
        if not starts.LEAST_WEIGHT <= start.fairness_weight <= starts.MOST_WEIGHT:
            found.append(Objection("weight_cut", f"{start.fairness_weight:g}"))
        is_workflow = isinstance(request, StartWorkflowExecutionRequest)
        queues = [(request.task_queue.name, is_workflow)]
        if is_workflow and start.workflow is None:
            queues.append((start.queue, False))
        for queue, of_workflows in queues:
            if not await self._is_polled(session, queue, of_workflows=of_workflows):
                found.append(Objection("no_pollers", queue))
        return found

    async def send_probe(self, start: WorkflowStart, *, wait: timedelta, by_reference: bool) -> None:
        await self._probes.send(start, wait=wait, by_reference=by_reference)

    async def probe_answer(self, task_id: str) -> ProbeAnswer | None:
        return await self._probes.answer(task_id)

    async def _compiled(
        self, session: Session, start: WorkflowStart
    ) -> StartActivityExecutionRequest | StartWorkflowExecutionRequest:
        """The request of the first try of a start."""
        message = starts.message_of(start, self._inline_bytes)
        make = starts.activity_request if session.standalone and start.workflow is None else starts.workflow_request
        request = await make(start, message, self._heartbeat, session.namespace, session.client)
        if session.attributes:
            request.search_attributes.CopyFrom(starts.search_attributes(start, session.attributes))
        return request

    async def _is_polled(self, session: Session, queue: str, *, of_workflows: bool) -> bool:
        kind = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW if of_workflows else TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
        known = self._polled.get((queue, kind))
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        request = DescribeTaskQueueRequest(
            namespace=session.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
        )
        answer = await self._connection.call(session.client.workflow_service.describe_task_queue, request, Purpose.READ)
        since = datetime.now(UTC) - SILENT
        is_polled = any(poller.last_access_time.ToDatetime(UTC) > since for poller in answer.pollers)
        if len(self._polled) >= MOST_QUEUES:
            self._polled.clear()
        self._polled[queue, kind] = (time.monotonic() + REMEMBERED_SECONDS, is_polled)
        return is_polled


def _size(request: StartActivityExecutionRequest | StartWorkflowExecutionRequest) -> list[Objection]:
    size = request.input.ByteSize()
    if size > LARGEST_INPUT:
        return [Objection("input_too_large", f"{size} bytes")]
    whole = request.ByteSize()
    return [Objection("request_too_large", f"{whole} bytes")] if whole > LARGEST_REQUEST else []


def _names(start: WorkflowStart, queue: str) -> list[Objection]:
    texts = {"task id": start.ref.workflow_id, "queue": start.queue or queue}
    return [
        Objection("name_too_long", f"{what}: {len(text.encode())} bytes")
        for what, text in texts.items()
        if len(text.encode()) > LONGEST_NAME
    ]


def _attributes(start: WorkflowStart, session: Session) -> list[Objection]:
    found = [Objection("attribute_cut", name) for name in starts.cut_attributes(start)]
    if missing := [name for name in names.ATTRIBUTES if name not in session.attributes]:
        found.append(Objection("attribute_missing", ", ".join(missing)))
    return found
