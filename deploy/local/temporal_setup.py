"""What a running Temporal server needs before anybody can use it: namespace and search attributes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    DescribeNamespaceRequest,
    DescribeTaskQueueRequest,
    DescribeWorkflowExecutionRequest,
    RegisterNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode, TLSConfig

from deploy.local.errors import StackError

DEFAULT_NAMESPACE = "taskgate"
RETENTION_SECONDS = 72 * 3600

SEARCH_ATTRIBUTES: Mapping[str, IndexedValueType.ValueType] = {
    "TaskgateTenant": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "TaskgateProject": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "TaskgateTaskType": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "TaskgateTaskId": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "TaskgatePriority": IndexedValueType.INDEXED_VALUE_TYPE_INT,
}

RPC_TIMEOUT = timedelta(seconds=5)
POLL_SECONDS = 0.1
#: Each service reads the namespaces, with their search attributes, once a second (`temporal_config`).
REFRESH_SECONDS = 1.2
#: Each shard of the history service reads the namespaces for itself; so many ids fall into all of them, most likely.
PROBES = 12


async def ensure_namespace(
    address: str, namespace: str, timeout: float = 30.0, *, tls: TLSConfig | None = None
) -> None:
    """Registers the namespace and the search attributes unless they are there, and waits until both are usable."""
    client = await Client.connect(address, namespace=namespace, lazy=True, tls=tls or False)
    deadline = time.monotonic() + timeout
    registered = False
    known_at = 0.0
    while True:
        try:
            if not registered:
                await _register(client, namespace)
                registered = True
            if await _add_search_attributes(client, namespace):
                # Nothing that can be asked tells whether the history service has read of them.
                known_at = time.monotonic() + REFRESH_SECONDS
            if time.monotonic() > known_at and await usable(client, namespace):
                return
            reason = "its services do not know it yet"
        except RPCError as error:
            if error.status not in _RETRIED:
                raise StackError(f"temporal: cannot set up namespace {namespace}: {error.message}") from error
            reason = error.message
        if time.monotonic() > deadline:
            raise StackError(f"temporal: namespace {namespace} is not usable after {timeout:.0f} s: {reason}")
        await asyncio.sleep(POLL_SECONDS)


_RETRIED = {
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.NOT_FOUND,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.RESOURCE_EXHAUSTED,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.INTERNAL,
    RPCStatusCode.UNKNOWN,
}


async def _register(client: Client, namespace: str) -> None:
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=namespace), timeout=RPC_TIMEOUT
        )
        return
    except RPCError as missing:
        if missing.status != RPCStatusCode.NOT_FOUND:
            raise
    try:
        await client.workflow_service.register_namespace(
            RegisterNamespaceRequest(
                namespace=namespace, workflow_execution_retention_period=Duration(seconds=RETENTION_SECONDS)
            ),
            timeout=RPC_TIMEOUT,
        )
    except RPCError as error:
        if error.status != RPCStatusCode.ALREADY_EXISTS:
            raise


async def _add_search_attributes(client: Client, namespace: str) -> bool:
    """Whether any were missing."""
    present = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=namespace), timeout=RPC_TIMEOUT
    )
    missing = {name: kind for name, kind in SEARCH_ATTRIBUTES.items() if name not in present.custom_attributes}
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=namespace, search_attributes=missing), timeout=RPC_TIMEOUT
        )
    return bool(missing)


async def _history_knows(client: Client, namespace: str, workflow_id: str) -> bool:
    """Whether the shard of the history service that this workflow would be in knows the namespace."""
    execution = WorkflowExecution(workflow_id=workflow_id)
    try:
        await client.workflow_service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(namespace=namespace, execution=execution), timeout=RPC_TIMEOUT
        )
    except RPCError as error:
        # "Workflow not found" comes from the history service, which then knows the namespace.
        return error.status == RPCStatusCode.NOT_FOUND and "namespace" not in error.message.lower()
    return True


async def usable(client: Client, namespace: str) -> bool:
    """Whether each service knows the namespace: asked with reads that need history, matching and visibility."""
    service = client.workflow_service
    for number in range(PROBES):
        if not await _history_knows(client, namespace, f"no-such-workflow-{number}"):
            return False
    try:
        await service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=namespace,
                task_queue=TaskQueue(name="no-such-queue"),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            ),
            timeout=RPC_TIMEOUT,
        )
        clauses = [
            f"{name} = {0 if kind == IndexedValueType.INDEXED_VALUE_TYPE_INT else repr('none')}"
            for name, kind in SEARCH_ATTRIBUTES.items()
        ]
        await service.count_workflow_executions(
            CountWorkflowExecutionsRequest(namespace=namespace, query=" AND ".join(clauses)), timeout=RPC_TIMEOUT
        )
    except RPCError:
        return False
    return True
