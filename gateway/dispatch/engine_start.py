"""The message for a start on an engine, made by a gateway, or by a worker that opened a node of a DAG."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from backends.port import RetryPolicy, WorkflowRef, WorkflowStart
from backends.redis_queue.wire import TYPES
from gateway.access.placement import Placement, Tier
from gateway.dispatch.queues import effective_priority, fairness_key
from gateway.submission.new_task import RetryOverride
from gateway.tasks.payload import without_wire_keys

#: The start-to-close limit of types whose handlers the gateway does not know; workers enforce the handler's own.
UNKNOWN_TYPE_TIMEOUT = timedelta(hours=24)

#: The queue of a tenant's tasks of a type.
QueueNamer = Callable[[str | None, Tier, str], str]


def timeout_of(task_type: str) -> timedelta:
    """How long a task of this type may run (contract §5)."""
    known = TYPES.get(task_type)
    return UNKNOWN_TYPE_TIMEOUT if known is None else known.timeout


class StartBuilder:
    """`retry`: the policy of tasks that have none of their own."""

    def __init__(self, name_queue: QueueNamer, retry: RetryPolicy) -> None:
        self._name_queue = name_queue
        self._retry = retry

    def build(
        self,
        ref: WorkflowRef,
        payload: Mapping[str, Any],
        place: Placement,
        *,
        priority: int,
        weight: float,
        retry: RetryOverride | None,
        queue: str | None = None,
        workflow: str | None = None,
        trace: Mapping[str, str] | None = None,
    ) -> WorkflowStart:
        """The start of a task of that tenant.

        `weight`: the tenant's weight. `queue`: the one that an earlier try was sent to. `workflow`: the workflow that
        runs it instead of a handler. `trace`: the context of the task's trace.
        """
        return WorkflowStart(
            ref=ref,
            payload=without_wire_keys(payload),
            timeout=timeout_of(ref.task_type),
            tenant_id=place.tenant_id,
            project_id=place.project_id,
            queue=self._name_queue(place.tenant_id, place.tier, ref.task_type) if queue is None else queue,
            priority=effective_priority(priority, place.tier),
            fairness_key=fairness_key(place.tenant_id, place.tier),
            fairness_weight=weight,
            retry=self._retry if retry is None else retry.over(self._retry),
            workflow=workflow,
            trace=trace or {},
        )
