"""Tasks as standalone activities.

Tried on Temporal 1.32.1: a cancel takes an activity that no worker has at once (`Canceled` within the call), and
reaches a running one with its next heartbeat; a second cancel, or one after the end, is `FAILED_PRECONDITION`.
Failing by id is accepted only while an attempt runs.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from temporalio.api.activity.v1 import ActivityExecutionOutcome
from temporalio.api.enums.v1 import ActivityExecutionStatus as Status
from temporalio.api.enums.v1 import PendingActivityState as RunState
from temporalio.api.workflowservice.v1 import (
    CountActivityExecutionsRequest,
    DescribeActivityExecutionRequest,
    DescribeActivityExecutionResponse,
    ListActivityExecutionsRequest,
    PollActivityExecutionRequest,
    RequestCancelActivityExecutionRequest,
    RespondActivityTaskCanceledByIdRequest,
    RespondActivityTaskFailedByIdRequest,
)

from backends.errors import WorkflowNotFound
from backends.port import EndedWorkflow, WorkflowStart, WorkflowState, WorkflowStatus
from backends.temporal import names, starts
from backends.temporal.connection import Connection, Session
from backends.temporal.errors import Purpose, WrongState
from backends.temporal.executions import (
    LONG_POLL_SECONDS,
    PAGE,
    closed_since,
    failure_text,
    first_value,
    raise_end,
    still_open,
    worker_lost,
)
from backends.temporal.messages import RunTask

_ENDS = {
    Status.ACTIVITY_EXECUTION_STATUS_COMPLETED: WorkflowState.COMPLETED,
    Status.ACTIVITY_EXECUTION_STATUS_FAILED: WorkflowState.FAILED,
    Status.ACTIVITY_EXECUTION_STATUS_CANCELED: WorkflowState.CANCELLED,
    Status.ACTIVITY_EXECUTION_STATUS_TERMINATED: WorkflowState.TERMINATED,
    Status.ACTIVITY_EXECUTION_STATUS_TIMED_OUT: WorkflowState.TIMED_OUT,
}
_IN_PROGRESS = (
    RunState.PENDING_ACTIVITY_STATE_STARTED,
    RunState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED,
    RunState.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED,
)


class ActivityExecutions:
    """See `backends.temporal.executions.Executions`."""

    def __init__(self, connection: Connection, heartbeat: timedelta) -> None:
        self._connection = connection
        self._heartbeat = heartbeat

    async def start(self, session: Session, start: WorkflowStart, message: RunTask, *, attributes: bool) -> None:
        client = session.client
        request = await starts.activity_request(start, message, self._heartbeat, session.namespace, client)
        if attributes:
            request.search_attributes.CopyFrom(starts.search_attributes(start, session.attributes))
        await self._connection.call(client.workflow_service.start_activity_execution, request, Purpose.START)

    async def status(self, session: Session, workflow_id: str) -> WorkflowStatus:
        answer = await self._describe(session, workflow_id)
        state = _state(answer)
        error = None
        if state.is_terminal and answer.outcome.HasField("failure"):
            error = await failure_text(answer.outcome.failure, session.client.data_converter)
        if state is WorkflowState.CANCELLED and answer.info.canceled_reason:
            error = answer.info.canceled_reason
        return WorkflowStatus(state, error, answer.info.attempt)

    async def result(self, session: Session, workflow_id: str) -> Any:
        client = session.client
        request = PollActivityExecutionRequest(namespace=session.namespace, activity_id=workflow_id)
        outcome = ActivityExecutionOutcome()
        while outcome.WhichOneof("value") is None:
            answer = await self._connection.call(
                client.workflow_service.poll_activity_execution, request, Purpose.READ, timeout=LONG_POLL_SECONDS
            )
            outcome = answer.outcome
        if outcome.HasField("failure"):
            raise_end(await self.status(session, workflow_id))
        return await first_value(outcome.result, client.data_converter)

    async def cancel(self, session: Session, workflow_id: str, reason: str) -> bool:
        request = RequestCancelActivityExecutionRequest(
            namespace=session.namespace,
            activity_id=workflow_id,
            identity=session.client.identity,
            request_id=str(uuid.uuid4()),
            reason=reason,
        )
        service = session.client.workflow_service
        try:
            await self._connection.call(service.request_cancel_activity_execution, request, Purpose.WRITE)
        except WrongState:
            # It has ended, or was asked to stop before and still runs.
            return not _state(await self._describe(session, workflow_id)).is_terminal
        return True

    async def requeue(self, session: Session, workflow_id: str, reason: str, held_by: str | None) -> bool:
        info = (await self._describe(session, workflow_id)).info
        if info.status != Status.ACTIVITY_EXECUTION_STATUS_RUNNING:
            return False
        if info.run_state not in _IN_PROGRESS:
            return True  # it waits for a worker already, or soon again
        if held_by not in (None, info.last_worker_identity):
            return True
        service, identity = session.client.workflow_service, session.client.identity
        try:
            if info.run_state == RunState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED:
                canceled = RespondActivityTaskCanceledByIdRequest(
                    namespace=session.namespace, activity_id=workflow_id, run_id=info.run_id, identity=identity
                )
                await self._connection.call(service.respond_activity_task_canceled_by_id, canceled, Purpose.WRITE)
                return False
            failed = RespondActivityTaskFailedByIdRequest(
                namespace=session.namespace,
                activity_id=workflow_id,
                run_id=info.run_id,
                identity=identity,
                failure=worker_lost(reason),
            )
            await self._connection.call(service.respond_activity_task_failed_by_id, failed, Purpose.WRITE)
        except WorkflowNotFound:
            # The attempt ended between the two calls; it runs again unless that was the end of all.
            return not _state(await self._describe(session, workflow_id)).is_terminal
        return True

    async def ended(self, session: Session, since: datetime, *, completed: bool) -> Sequence[EndedWorkflow]:
        request = ListActivityExecutionsRequest(
            namespace=session.namespace,
            page_size=PAGE,
            query=closed_since("ActivityType", [names.RUN_TASK], since, completed=completed),
        )
        found: list[EndedWorkflow] = []
        while True:
            answer = await self._connection.call(
                session.client.workflow_service.list_activity_executions, request, Purpose.READ
            )
            found += [
                EndedWorkflow(item.activity_id, WorkflowStatus(_ENDS[item.status]))
                for item in answer.executions
                if item.status in _ENDS
            ]
            if not answer.next_page_token:
                return found
            request.next_page_token = answer.next_page_token

    async def count_open(self, session: Session) -> int:
        query = still_open("ActivityType", [names.RUN_TASK])
        request = CountActivityExecutionsRequest(namespace=session.namespace, query=query)
        service = session.client.workflow_service
        return (await self._connection.call(service.count_activity_executions, request, Purpose.READ)).count

    async def open_ids(self, session: Session) -> Sequence[str]:
        query = still_open("ActivityType", [names.RUN_TASK])
        request = ListActivityExecutionsRequest(namespace=session.namespace, page_size=PAGE, query=query)
        service = session.client.workflow_service
        found: list[str] = []
        while True:
            answer = await self._connection.call(service.list_activity_executions, request, Purpose.READ)
            found += [item.activity_id for item in answer.executions]
            if not answer.next_page_token:
                return found
            request.next_page_token = answer.next_page_token

    async def _describe(self, session: Session, workflow_id: str) -> DescribeActivityExecutionResponse:
        request = DescribeActivityExecutionRequest(
            namespace=session.namespace, activity_id=workflow_id, include_outcome=True
        )
        service = session.client.workflow_service
        return await self._connection.call(service.describe_activity_execution, request, Purpose.READ)


def _state(answer: DescribeActivityExecutionResponse) -> WorkflowState:
    info = answer.info
    if info.status in _ENDS:
        return _ENDS[info.status]
    return WorkflowState.RUNNING if info.run_state in _IN_PROGRESS else WorkflowState.QUEUED
