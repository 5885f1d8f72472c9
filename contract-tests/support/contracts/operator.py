"""Somebody at Temporal's own interface, who ends and resets what runs there."""

from __future__ import annotations

import contextlib
import uuid
from datetime import UTC, datetime
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import (
    DescribeActivityExecutionRequest,
    DescribeActivityExecutionResponse,
    DescribeNamespaceRequest,
    ResetWorkflowExecutionRequest,
    TerminateActivityExecutionRequest,
)
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError

from workers.testing.waiting import eventually

WHY = "by an operator"


class Operator:
    """Everything is named by its task: a standalone activity, or a workflow.

    `standalone`: the server has standalone activities; without, every task is a workflow.
    """

    def __init__(self, client: Client, *, standalone: bool) -> None:
        self._client = client
        self.standalone = standalone
        self._where: dict[str, Any] = {"namespace": client.namespace, "identity": "an operator"}

    @classmethod
    async def at(cls, address: str, namespace: str) -> Operator:
        client = await Client.connect(address, namespace=namespace)
        found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
        return cls(client, standalone=found.namespace_info.capabilities.standalone_activities)

    async def terminate(self, task_id: str) -> None:
        """A task of a gateway with the usual settings."""
        if not self.standalone:
            await self.terminate_workflow(task_id)
            return
        request = TerminateActivityExecutionRequest(
            **self._where, activity_id=f"task-{task_id}", reason=WHY, request_id=task_id
        )
        await self._client.workflow_service.terminate_activity_execution(request)

    async def terminate_workflow(self, task_id: str) -> None:
        await self._client.get_workflow_handle(f"task-{task_id}").terminate(reason=WHY)

    async def begun(self, task_id: str) -> int:
        """The event of a workflow's first step, once a worker has taken it."""
        async for event in self._client.get_workflow_handle(f"task-{task_id}").fetch_history_events(
            wait_new_event=True
        ):
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                return event.event_id
        raise AssertionError("it ended before any step")

    async def reset(self, task_id: str, *, to_last: bool = False) -> None:
        """Let a workflow go on from its first step, or its last; what it was told since then it is told again."""
        point = await self.begun(task_id)
        if to_last:
            async for event in self._client.get_workflow_handle(f"task-{task_id}").fetch_history_events():
                if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                    point = event.event_id
        request = ResetWorkflowExecutionRequest(
            **self._where,
            workflow_execution=WorkflowExecution(workflow_id=f"task-{task_id}", run_id=await self._run_id(task_id)),
            reason=WHY,
            workflow_task_finish_event_id=point,
            request_id=str(uuid.uuid4()),
        )
        await self._client.workflow_service.reset_workflow_execution(request)

    async def _run_id(self, task_id: str) -> str:
        """Of the workflow's latest run."""
        return str((await self._client.get_workflow_handle(f"task-{task_id}").describe()).run_id)

    async def ended(self, task_id: str) -> WorkflowExecutionStatus:
        """How the latest run of a workflow ended, once it has."""
        handle = self._client.get_workflow_handle(f"task-{task_id}")
        with contextlib.suppress(WorkflowFailureError):
            await handle.result()
        status = (await handle.describe()).status
        assert status is not None
        return status

    async def offered(self, task_id: str, times: int) -> None:
        """Return when a standalone activity was handed to a worker so many times."""
        await eventually(lambda: self._describe(task_id), lambda status: status.info.attempt >= times, within=60)

    async def closed_at(self, task_id: str, *, workflow: bool) -> datetime:
        """When Temporal itself ended it."""
        if workflow or not self.standalone:
            closed = (await self._client.get_workflow_handle(f"task-{task_id}").describe()).close_time
            assert closed is not None
            return closed
        return (await self._describe(task_id)).info.close_time.ToDatetime(tzinfo=UTC)

    async def _describe(self, task_id: str) -> DescribeActivityExecutionResponse:
        request = DescribeActivityExecutionRequest(namespace=self._client.namespace, activity_id=f"task-{task_id}")
        return await self._client.workflow_service.describe_activity_execution(request)
