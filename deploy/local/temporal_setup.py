"""What a Temporal server needs before anybody can use it: schema, namespace, search attributes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta

import asyncpg
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
from temporalio.service import RPCError, RPCStatusCode

from deploy.local.errors import StackError
from deploy.local.temporal_binaries import TemporalPrograms
from deploy.local.temporal_config import MAIN_DATABASE, PLUGIN, VISIBILITY_DATABASE, SqlServer

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


async def ensure_schema(sql: SqlServer, programs: TemporalPrograms) -> None:
    """Makes or updates both databases; one that is up to date is left as it is."""
    for database, folder in ((MAIN_DATABASE, "temporal"), (VISIBILITY_DATABASE, "visibility")):
        if not await _has_schema(sql, database):
            await _sql_tool(sql, programs, database, "create")
            await _sql_tool(sql, programs, database, "setup-schema", "-v", "0.0")
        await _sql_tool(sql, programs, database, "update-schema", "--schema-name", f"postgresql/v12/{folder}")


async def _has_schema(sql: SqlServer, database: str) -> bool:
    try:
        connection = await asyncpg.connect(
            host=sql.host, port=sql.port, user=sql.user, password=sql.password or None, database=database, timeout=10
        )
    except asyncpg.InvalidCatalogNameError:
        return False
    try:
        return bool(await connection.fetchval("SELECT to_regclass('schema_version') IS NOT NULL"))
    finally:
        await connection.close()


async def _sql_tool(sql: SqlServer, programs: TemporalPrograms, database: str, *action: str) -> None:
    process = await asyncio.create_subprocess_exec(
        str(programs.sql_tool),
        *("--plugin", PLUGIN, "--endpoint", sql.host, "--port", str(sql.port), "--user", sql.user),
        *("--database", database),
        *action,
        # The password not on the command line, where every user of the machine could read it.
        env={"SQL_PASSWORD": sql.password},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        lines = output.decode(errors="replace").strip().splitlines()
        raise StackError(f"temporal: {action[0]} of {database} failed: {lines[-1] if lines else 'no output'}")


async def ensure_namespace(address: str, namespace: str, timeout: float = 30.0) -> None:
    """Registers the namespace and the search attributes unless they are there, and waits until both are usable."""
    client = await Client.connect(address, namespace=namespace, lazy=True)
    deadline = time.monotonic() + timeout
    registered = False
    while True:
        try:
            if not registered:
                await _register(client, namespace)
                registered = True
            await _add_search_attributes(client, namespace)
            if await usable(client, namespace):
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


async def _add_search_attributes(client: Client, namespace: str) -> None:
    present = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=namespace), timeout=RPC_TIMEOUT
    )
    missing = {name: kind for name, kind in SEARCH_ATTRIBUTES.items() if name not in present.custom_attributes}
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=namespace, search_attributes=missing), timeout=RPC_TIMEOUT
        )


async def usable(client: Client, namespace: str) -> bool:
    """Whether each service knows the namespace: asked with reads that need history, matching and visibility."""
    service = client.workflow_service
    try:
        await service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(
                namespace=namespace, execution=WorkflowExecution(workflow_id="no-such-workflow")
            ),
            timeout=RPC_TIMEOUT,
        )
    except RPCError as error:
        # "Workflow not found" comes from the history service, which then knows the namespace.
        if error.status != RPCStatusCode.NOT_FOUND or "namespace" in error.message.lower():
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
