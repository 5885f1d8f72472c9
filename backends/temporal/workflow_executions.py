"""Tasks as workflows of one activity, for servers without standalone activities (before 1.30, or switched off)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.enums.v1 import HistoryEventFilterType
from temporalio.api.enums.v1 import PendingActivityState as RunState
from temporalio.api.enums.v1 import UpdateWorkflowExecutionLifecycleStage as Stage
from temporalio.api.enums.v1 import WorkflowExecutionStatus as Status
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.update import v1 as update
from temporalio.api.update.v1 import WaitPolicy
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryRequest,
    ListWorkflowExecutionsRequest,
    RequestCancelWorkflowExecutionRequest,
    RespondActivityTaskCanceledByIdRequest,
    RespondActivityTaskFailedByIdRequest,
    SignalWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
    UpdateWorkflowExecutionRequest,
)
from temporalio.service import RPCError

from backends.errors import WorkflowNotFound
from backends.port import EndedWorkflow, WorkflowStart, WorkflowState, WorkflowStatus
from backends.temporal import names, starts
from backends.temporal.connection import Connection, Session
from backends.temporal.errors import Purpose
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

#: How long a worker has to take an update.
UPDATE_SECONDS = 1.0

_ENDS = {
    Status.WORKFLOW_EXECUTION_STATUS_COMPLETED: WorkflowState.COMPLETED,
    Status.WORKFLOW_EXECUTION_STATUS_FAILED: WorkflowState.FAILED,
    Status.WORKFLOW_EXECUTION_STATUS_CANCELED: WorkflowState.CANCELLED,
    Status.WORKFLOW_EXECUTION_STATUS_TERMINATED: WorkflowState.TERMINATED,
    Status.WORKFLOW_EXECUTION_STATUS_TIMED_OUT: WorkflowState.TIMED_OUT,
}
_IN_PROGRESS = (
    RunState.PENDING_ACTIVITY_STATE_STARTED,
    RunState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED,
    RunState.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED,
)


class WorkflowExecutions:
    """See `backends.temporal.executions.Executions`."""

    def __init__(self, connection: Connection, heartbeat: timedelta) -> None:
        self._connection = connection
        self._heartbeat = heartbeat

    async def start(self, session: Session, start: WorkflowStart, message: RunTask, *, attributes: bool) -> None:
        client = session.client
        request = await starts.workflow_request(start, message, self._heartbeat, session.namespace, client)
        if attributes:
            request.search_attributes.CopyFrom(starts.search_attributes(start, session.attributes))
        await self._connection.call(client.workflow_service.start_workflow_execution, request, Purpose.START)

    async def status(self, session: Session, workflow_id: str) -> WorkflowStatus:
        answer = await self._describe(session, workflow_id)
        attempt = answer.pending_activities[0].attempt if answer.pending_activities else 0
        state = _state(answer)
        if not state.is_terminal or state is WorkflowState.COMPLETED:
            return WorkflowStatus(state, None, attempt)
        event = await self._last_event(session, workflow_id)
        ended = event.workflow_execution_terminated_event_attributes
        if state is WorkflowState.TERMINATED and ended.identity.startswith(names.GATEWAY_IDENTITY):
            state = WorkflowState.CANCELLED  # `cancel` ended it so, because nothing ran yet
        return WorkflowStatus(state, await self._reason(session, event), attempt)

    async def result(self, session: Session, workflow_id: str) -> Any:
        event = await self._last_event(session, workflow_id, wait=True)
        if not event.HasField("workflow_execution_completed_event_attributes"):
            raise_end(await self.status(session, workflow_id))
        payloads = event.workflow_execution_completed_event_attributes.result
        return await first_value(payloads, session.client.data_converter)

    async def cancel(self, session: Session, workflow_id: str, reason: str) -> bool:
        answer = await self._describe(session, workflow_id)
        if _state(answer).is_terminal:
            return False
        service, identity = session.client.workflow_service, session.client.identity
        execution = WorkflowExecution(workflow_id=workflow_id, run_id=answer.workflow_execution_info.execution.run_id)
        try:
            if _state(answer) is WorkflowState.RUNNING:
                cancel = RequestCancelWorkflowExecutionRequest(
                    namespace=session.namespace,
                    workflow_execution=execution,
                    identity=identity,
                    request_id=str(uuid.uuid4()),
                    reason=reason,
                )
                await self._connection.call(service.request_cancel_workflow_execution, cancel, Purpose.WRITE)
            else:
                # A cancel would wait for a worker to carry it out; nothing runs yet that could need the notice.
                end = TerminateWorkflowExecutionRequest(
                    namespace=session.namespace, workflow_execution=execution, identity=identity, reason=reason
                )
                await self._connection.call(service.terminate_workflow_execution, end, Purpose.WRITE)
        except WorkflowNotFound:
            return False  # it ended between the two calls
        return True

    async def requeue(self, session: Session, workflow_id: str, reason: str, held_by: str | None) -> bool:
        answer = await self._describe(session, workflow_id)
        if _state(answer).is_terminal:
            return False
        pending = _pending(answer)
        if pending is None or pending.state not in _IN_PROGRESS or held_by not in (None, pending.last_worker_identity):
            return True
        service, identity = session.client.workflow_service, session.client.identity
        run_id = answer.workflow_execution_info.execution.run_id
        try:
            if pending.state == RunState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED:
                canceled = RespondActivityTaskCanceledByIdRequest(
                    namespace=session.namespace,
                    workflow_id=workflow_id,
                    run_id=run_id,
                    activity_id=names.ACTIVITY_ID,
                    identity=identity,
                )
                await self._connection.call(service.respond_activity_task_canceled_by_id, canceled, Purpose.WRITE)
                return False
            failed = RespondActivityTaskFailedByIdRequest(
                namespace=session.namespace,
                workflow_id=workflow_id,
                run_id=run_id,
                activity_id=names.ACTIVITY_ID,
                identity=identity,
                failure=worker_lost(reason),
            )
            await self._connection.call(service.respond_activity_task_failed_by_id, failed, Purpose.WRITE)
        except WorkflowNotFound:
            return not _state(await self._describe(session, workflow_id)).is_terminal
        return True

    async def signal(self, session: Session, workflow_id: str, signal: str, payload: Any) -> None:
        """Deliver a signal. Raises `WorkflowNotFound`."""
        if signal == names.DAG_ENDED and await self._told(session, workflow_id, payload):
            return
        client = session.client
        request = SignalWorkflowExecutionRequest(
            namespace=session.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id),
            signal_name=signal,
            input=Payloads(payloads=await client.data_converter.encode([payload])),
            identity=client.identity,
            request_id=str(uuid.uuid4()),
        )
        await self._connection.call(client.workflow_service.signal_workflow_execution, request, Purpose.WRITE)

    async def _told(self, session: Session, workflow_id: str, payload: Any) -> bool:
        """Whether a worker took it as an update. Else (none is there, or an older one) it may come twice."""
        client = session.client
        request = UpdateWorkflowExecutionRequest(
            namespace=session.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id),
            wait_policy=WaitPolicy(lifecycle_stage=Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED),
            request=update.Request(
                meta=update.Meta(update_id=str(uuid.uuid4()), identity=client.identity),
                input=update.Input(
                    name=names.DAG_TOLD, args=Payloads(payloads=await client.data_converter.encode([payload]))
                ),
            ),
        )
        call = client.workflow_service.update_workflow_execution
        try:
            async with asyncio.timeout(2 * UPDATE_SECONDS):
                answer = await call(request, retry=False, timeout=timedelta(seconds=UPDATE_SECONDS))
        except (RPCError, TimeoutError):
            return False
        return answer.HasField("outcome") and answer.outcome.HasField("success")

    async def ended(self, session: Session, since: datetime, *, completed: bool) -> Sequence[EndedWorkflow]:
        query = closed_since("WorkflowType", [names.RUN_TASK, names.RUN_DAG], since, completed=completed)
        request = ListWorkflowExecutionsRequest(namespace=session.namespace, page_size=PAGE, query=query)
        found: list[EndedWorkflow] = []
        while True:
            answer = await self._connection.call(
                session.client.workflow_service.list_workflow_executions, request, Purpose.READ
            )
            found += [
                EndedWorkflow(item.execution.workflow_id, WorkflowStatus(_ENDS[item.status]))
                for item in answer.executions
                if item.status in _ENDS
            ]
            if not answer.next_page_token:
                return found
            request.next_page_token = answer.next_page_token

    async def count_open(self, session: Session) -> int:
        query = still_open("WorkflowType", [names.RUN_TASK, names.RUN_DAG])
        request = CountWorkflowExecutionsRequest(namespace=session.namespace, query=query)
        service = session.client.workflow_service
        return (await self._connection.call(service.count_workflow_executions, request, Purpose.READ)).count

    async def open_ids(self, session: Session) -> Sequence[str]:
        query = still_open("WorkflowType", [names.RUN_TASK, names.RUN_DAG])
        request = ListWorkflowExecutionsRequest(namespace=session.namespace, page_size=PAGE, query=query)
        service = session.client.workflow_service
        found: list[str] = []
        while True:
            answer = await self._connection.call(service.list_workflow_executions, request, Purpose.READ)
            found += [item.execution.workflow_id for item in answer.executions]
            if not answer.next_page_token:
                return found
            request.next_page_token = answer.next_page_token

    async def _describe(self, session: Session, workflow_id: str) -> DescribeWorkflowExecutionResponse:
        request = DescribeWorkflowExecutionRequest(
            namespace=session.namespace, execution=WorkflowExecution(workflow_id=workflow_id)
        )
        service = session.client.workflow_service
        return await self._connection.call(service.describe_workflow_execution, request, Purpose.READ)

    async def _last_event(self, session: Session, workflow_id: str, *, wait: bool = False) -> HistoryEvent:
        """The event that closed the workflow; with `wait`, when it comes."""
        request = GetWorkflowExecutionHistoryRequest(
            namespace=session.namespace,
            execution=WorkflowExecution(workflow_id=workflow_id),
            history_event_filter_type=HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
            wait_new_event=wait,
            skip_archival=True,
        )
        service = session.client.workflow_service
        while True:
            answer = await self._connection.call(
                service.get_workflow_execution_history, request, Purpose.READ, timeout=LONG_POLL_SECONDS
            )
            if answer.history.events:
                return answer.history.events[-1]
            request.next_page_token = answer.next_page_token

    async def _reason(self, session: Session, event: HistoryEvent) -> str | None:
        failure: Failure | None = None
        if event.HasField("workflow_execution_failed_event_attributes"):
            failure = event.workflow_execution_failed_event_attributes.failure
        if event.HasField("workflow_execution_terminated_event_attributes"):
            return event.workflow_execution_terminated_event_attributes.reason or None
        return None if failure is None else await failure_text(failure, session.client.data_converter)


def _pending(answer: DescribeWorkflowExecutionResponse) -> PendingActivityInfo | None:
    return answer.pending_activities[0] if answer.pending_activities else None


def _state(answer: DescribeWorkflowExecutionResponse) -> WorkflowState:
    info = answer.workflow_execution_info
    if info.status in _ENDS:
        return _ENDS[info.status]
    pending = _pending(answer)
    running = pending is not None and pending.state in _IN_PROGRESS
    return WorkflowState.RUNNING if running else WorkflowState.QUEUED
