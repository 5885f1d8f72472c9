"""A task that is to be accepted, and its payload in the database and on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from backends.port import RetryPolicy, WorkflowRef
from gateway.access.placement import Placement
from gateway.submission.ids import new_task_id
from gateway.tasks.payload import without_wire_keys

#: Each payload that the gateway writes begins with this white space, which readers of JSON ignore. Indexes of
#: `task_logs` recognise the gateway's own rows by it (migration 0004).
MARK = "\t"


@dataclass(frozen=True, slots=True)
class RetryOverride:
    """The retry policy of one task; None: as in the gateway's policy. Pauses in seconds."""

    attempts: int | None = None
    initial: float | None = None
    coefficient: float | None = None
    maximum: float | None = None

    def over(self, policy: RetryPolicy) -> RetryPolicy:
        """The gateway's policy with this override. Its maximum does not cut the override's first pause."""
        initial = policy.initial if self.initial is None else timedelta(seconds=self.initial)
        return RetryPolicy(
            initial,
            policy.coefficient if self.coefficient is None else self.coefficient,
            max(policy.maximum, initial) if self.maximum is None else timedelta(seconds=self.maximum),
            policy.attempts if self.attempts is None else self.attempts,
        )


NO_OVERRIDE = RetryOverride()


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to be accepted. `payload` holds its type's keys (contract §5), without the wire's own.

    `unique_key`: only one active task of its tenant (without one: of its user) may have it. `retry` None: the gateway's
    policy. `expires_at`: if no worker has begun the task by then, it fails. `callback`: where to report its end,
    `{"url": …}`. `schedule_id`, `dag_run_id`: the schedule that fired it, the run of a DAG that it is a step of.
    `held`: why it is not started yet. `trace`: context of the trace that it belongs to, unless that is the present one.
    """

    task_type: str
    group_id: str
    payload: dict[str, Any]
    placement: Placement
    user_id: str | None
    entity_id: str | None = None
    entity_type: str | None = None
    parent_task_id: str | None = None
    priority: int = 3
    not_before: datetime | None = None
    labels: Mapping[str, str] | None = None
    unique_key: str | None = None
    retry: RetryOverride | None = None
    expires_at: datetime | None = None
    callback: Mapping[str, Any] | None = None
    schedule_id: str | None = None
    dag_run_id: str | None = None
    held: str | None = None
    trace: Mapping[str, str] = field(default_factory=dict)
    task_id: str = field(default_factory=new_task_id)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def wire_payload(task: NewTask) -> dict[str, Any]:
    """The value of `task_logs.payload`: a complete payload of the wire, which legacy code can run (R2)."""
    return {
        **without_wire_keys(task.payload),
        "task_type": task.task_type,
        "task_id": task.task_id,
        "timestamp": task.created_at.timestamp(),
    }


def stored_payload(task: NewTask) -> str:
    """The text of `task_logs.payload`."""
    return MARK + orjson.dumps(wire_payload(task)).decode()


def first_ref(task: NewTask) -> WorkflowRef:
    """The first start of a new task."""
    return WorkflowRef(task.task_id, 1, task.group_id, task.task_type)
