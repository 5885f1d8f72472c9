"""What an engine is told of a start, whoever makes it: a gateway, or the worker that opened the node of a DAG."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from backends.port import RetryPolicy, WorkflowRef, WorkflowStart
from backends.redis_queue.wire import TYPES
from gateway.access.placement import Tier
from gateway.dispatch.queues import effective_priority, fairness_key

#: The start-to-close limit of types whose handlers the gateway does not know; workers enforce the handler's own.
UNKNOWN_TYPE_TIMEOUT = timedelta(hours=24)


def timeout_of(task_type: str) -> timedelta:
    """How long a task of this type may run (contract §5)."""
    known = TYPES.get(task_type)
    return UNKNOWN_TYPE_TIMEOUT if known is None else known.timeout


def start_of(
    ref: WorkflowRef,
    payload: Mapping[str, Any],
    *,
    tenant_id: str | None,
    project_id: str | None,
    tier: Tier,
    queue: str,
    priority: int,
    weight: float,
    retry: RetryPolicy,
    workflow: str | None = None,
) -> WorkflowStart:
    """The start of a task of that tenant. `weight`: the tenant's share beside those of others."""
    return WorkflowStart(
        ref=ref,
        payload=payload,
        timeout=timeout_of(ref.task_type),
        tenant_id=tenant_id,
        project_id=project_id,
        queue=queue,
        priority=effective_priority(priority, tier),
        fairness_key=fairness_key(tenant_id, tier),
        fairness_weight=weight,
        retry=retry,
        workflow=workflow,
    )
