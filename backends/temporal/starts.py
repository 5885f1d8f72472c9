"""From a `WorkflowStart` to the two requests that start a task in Temporal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta

import orjson
from temporalio.api.common.v1 import (
    ActivityType,
    Payload,
    Payloads,
    Priority,
    RetryPolicy,
    SearchAttributes,
    WorkflowType,
)
from temporalio.api.enums.v1 import (
    ActivityIdConflictPolicy,
    ActivityIdReusePolicy,
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import StartActivityExecutionRequest, StartWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.converter import DataConverter

from backends.port import WorkflowStart
from backends.temporal import names
from backends.temporal.messages import ActivityOptions, Probe, RunDag, RunTask
from backends.temporal.payloads import carried

TIMEOUT_MARGIN = timedelta(seconds=60)
"""Start-to-close is the handler's timeout plus this: the worker enforces the timeout itself and reports it; only a
worker that cannot is cut off by Temporal."""

LOST_PAUSE = timedelta(seconds=1)
"""Does not grow: refused offers are attempts, too, and a start that is lost after many must not wait for long."""

_LONGEST_KEYWORD = 255
_PLAIN = {"encoding": b"json/plain"}
_KEYWORD = {**_PLAIN, "type": b"Keyword"}
_INT = {**_PLAIN, "type": b"Int"}
_LONGEST_FAIRNESS_KEY = 64
LEAST_WEIGHT, MOST_WEIGHT = 0.001, 1000.0


def message_of(start: WorkflowStart, inline_bytes: int) -> RunTask:
    """The message for the worker."""
    return RunTask(
        task_id=start.ref.task_id,
        epoch=start.ref.epoch,
        task_type=start.ref.task_type,
        group_id=start.ref.group_id,
        payload=carried(start.payload, inline_bytes),
        trace=dict(start.trace),
    )


async def activity_request(
    start: WorkflowStart, message: RunTask, heartbeat: timedelta, namespace: str, client: Client
) -> StartActivityExecutionRequest:
    """Start a standalone activity.

    No schedule-to-close: a task may wait as long as its tenant's queue is, and what stops it is the gateway.
    The request id is that of the start, so that Temporal itself takes a repetition for the same request.
    """
    workflow_id = start.ref.workflow_id
    request = StartActivityExecutionRequest(
        namespace=namespace,
        identity=client.identity,
        request_id=workflow_id,
        activity_id=workflow_id,
        activity_type=ActivityType(name=names.RUN_TASK),
        task_queue=TaskQueue(name=start.queue),
        id_reuse_policy=ActivityIdReusePolicy.ACTIVITY_ID_REUSE_POLICY_REJECT_DUPLICATE,
        id_conflict_policy=ActivityIdConflictPolicy.ACTIVITY_ID_CONFLICT_POLICY_USE_EXISTING,
        retry_policy=retry_policy(),
        priority=priority(start),
        input=await encoded(message, client.data_converter),
    )
    request.start_to_close_timeout.FromTimedelta(start.timeout + TIMEOUT_MARGIN)
    request.heartbeat_timeout.FromTimedelta(heartbeat)
    return request


async def workflow_request(
    start: WorkflowStart, message: RunTask, heartbeat: timedelta, namespace: str, client: Client
) -> StartWorkflowExecutionRequest:
    """Start a workflow: of one activity, where activities do not stand alone, or of the type that is asked for."""
    if start.workflow is not None:
        return await _named_workflow_request(start, namespace, client)
    message.options = ActivityOptions(
        queue=start.queue,
        start_to_close=(start.timeout + TIMEOUT_MARGIN).total_seconds(),
        heartbeat=heartbeat.total_seconds(),
        retry_initial=LOST_PAUSE.total_seconds(),
        retry_coefficient=1.0,
        retry_maximum=LOST_PAUSE.total_seconds(),
    )
    return StartWorkflowExecutionRequest(
        namespace=namespace,
        identity=client.identity,
        request_id=start.ref.workflow_id,
        workflow_id=start.ref.workflow_id,
        workflow_type=WorkflowType(name=names.RUN_TASK),
        task_queue=TaskQueue(name=names.WORKFLOW_QUEUE),
        workflow_id_reuse_policy=WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
        workflow_id_conflict_policy=WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
        priority=priority(start),
        input=Payloads(payloads=await client.data_converter.encode([message])),
    )


async def _named_workflow_request(
    start: WorkflowStart, namespace: str, client: Client
) -> StartWorkflowExecutionRequest:
    message = RunDag(start.ref.task_id, start.ref.epoch)
    return StartWorkflowExecutionRequest(
        namespace=namespace,
        identity=client.identity,
        request_id=start.ref.workflow_id,
        workflow_id=start.ref.workflow_id,
        workflow_type=WorkflowType(name=start.workflow or ""),
        task_queue=TaskQueue(name=names.DAG_QUEUE),
        workflow_id_reuse_policy=WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
        workflow_id_conflict_policy=WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
        priority=priority(start),
        input=Payloads(payloads=await client.data_converter.encode([message])),
    )


def retry_policy() -> RetryPolicy:
    """How soon Temporal offers a start again when it got no answer; attempts without limit.

    Budget and pauses of failures are PostgreSQL's: the worker names the pause each time.
    """
    policy = RetryPolicy(backoff_coefficient=1.0, maximum_attempts=0)
    policy.initial_interval.FromTimedelta(LOST_PAUSE)
    policy.maximum_interval.FromTimedelta(LOST_PAUSE)
    return policy


def priority(start: WorkflowStart) -> Priority:
    """Priority within the queue, and the tenant's fair share of it."""
    key = start.fairness_key or ""
    if len(key.encode()) > _LONGEST_FAIRNESS_KEY:
        key = hashlib.sha256(key.encode()).hexdigest()
    return Priority(
        priority_key=min(max(start.priority, 1), 5),
        fairness_key=key,
        fairness_weight=min(max(start.fairness_weight, LEAST_WEIGHT), MOST_WEIGHT),
    )


def search_attributes(start: WorkflowStart, known: Collection[str]) -> SearchAttributes:
    """Our search attributes, as far as the namespace knows them.

    Written as the SDK writes them, whose own way through its converters takes ten times as long.
    """
    keywords = _keywords(start)
    fields = {
        name: Payload(metadata=_KEYWORD, data=json.dumps(value[:_LONGEST_KEYWORD]).encode())
        for name, value in keywords.items()
        if value and name in known
    }
    if names.PRIORITY_ATTRIBUTE in known:
        fields[names.PRIORITY_ATTRIBUTE] = Payload(metadata=_INT, data=str(start.priority).encode())
    return SearchAttributes(indexed_fields=fields)


def cut_attributes(start: WorkflowStart) -> list[str]:
    """Search attributes whose values are too long, so that only their beginnings are kept."""
    return [name for name, value in _keywords(start).items() if value and len(value) > _LONGEST_KEYWORD]


def _keywords(start: WorkflowStart) -> dict[str, str | None]:
    return {
        names.TENANT_ATTRIBUTE: start.tenant_id,
        names.PROJECT_ATTRIBUTE: start.project_id,
        names.TASK_TYPE_ATTRIBUTE: start.ref.task_type,
        names.TASK_ID_ATTRIBUTE: start.ref.task_id,
    }


async def encoded(message: RunTask | Probe, converter: DataConverter) -> Payloads:
    """The message as the SDK's converter would write it; without the converter when nothing is to be encrypted."""
    if converter.payload_codec is None:
        with suppress(TypeError):  # text that is no Unicode: JSON can say it, this encoder not
            return Payloads(payloads=[Payload(metadata=_PLAIN, data=orjson.dumps(message))])
    return Payloads(payloads=await converter.encode([message]))
