"""The task of a node: its payload, and what the node's definition says of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from gateway.access.groups import MAINTENANCE
from gateway.dags.batch import RunFacts
from gateway.dags.definition import Node, Retry
from gateway.dags.errors import ExpressionFault
from gateway.dags.expressions import render
from gateway.dags.paths import APPROVAL_TYPE, SIGNAL_TYPE
from gateway.dags.results import Values
from gateway.submission.new_task import NewTask, RetryOverride

_LONGEST_PAUSE = Retry().maximum_seconds


class NodeTasks:
    """Makes the tasks of one run's nodes."""

    def __init__(self, run: RunFacts, values: Values) -> None:
        self._run = run
        self._values = values

    def payload(self, task_type: str | None, given: Mapping[str, Any], item: Any, index: int | None) -> dict[str, Any]:
        """The input of the task; it may not name anything that the run itself may not. Raises `ExpressionFault`."""
        payload = render(dict(given), lambda source: self._values.value(source, item=item, index=index))
        run = self._run
        own = {
            "group_id": run.group_id,
            "tenant_id": run.tenant_id,
            "project_id": run.project_id,
            "user_id": run.user_id,
        }
        for name, value in {**own, "task_group_id": run.group_id}.items():
            if payload.get(name) not in (None, value):
                raise ExpressionFault(f"input/{name}: a node belongs where its run does, and may not name another")
        if task_type in MAINTENANCE and payload.get("group_ids") is not None:
            raise ExpressionFault("input/group_ids: it works on the groups of the run's project or tenant")
        if payload.get("memory_id") is not None:
            raise ExpressionFault("input/memory_id: nodes may not mark memories; submit such a task by itself")
        if "\\u0000" in orjson.dumps(payload).decode():
            raise ExpressionFault("input: NUL characters cannot be stored")
        return {**payload, **own}

    def task(
        self,
        task_id: str,
        task_type: str,
        payload: dict[str, Any],
        node: Node,
        path: str,
        *,
        dag_run_id: str | None = None,
    ) -> NewTask:
        """`path`: the node's, or its item's; `dag_run_id`: another run than this one that it belongs to."""
        run, limit = self._run, longest_wait(node)
        return NewTask(
            task_type=task_type,
            group_id=run.group_id,
            payload={**payload, "task_group_id": run.group_id} if task_type == "rebuild_communities" else payload,
            placement=run.placement,
            user_id=run.user_id,
            entity_id=path,
            entity_type="dag_node",
            parent_task_id=run.run_id,
            priority=node.priority or run.priority,
            retry=retry_of(node.retry),
            expires_at=None if limit is None else datetime.now(UTC) + timedelta(seconds=limit),
            dag_run_id=dag_run_id or run.run_id,
            held=waits_for(node) if task_type in (APPROVAL_TYPE, SIGNAL_TYPE) else None,
            trace=run.trace,
            task_id=task_id,
        )


def waits_for(node: Node) -> str | None:
    """What stands in `held` of a task that is no handler's."""
    if node.approval is not None:
        return "waits for approval"
    return None if node.signal is None else "waits for a signal"


def longest_wait(node: Node) -> float | None:
    """Seconds until such a task expires; None: never."""
    wait = node.approval or node.signal
    return None if wait is None else wait.timeout_seconds


def retry_of(retry: Retry | None) -> RetryOverride | None:
    """The retry policy of a node's task; None: the gateway's."""
    if retry is None:
        return None
    # Definitions are kept without their defaults: whoever gave no maximum has the gateway's, like a task by itself.
    maximum = None if retry.maximum_seconds == _LONGEST_PAUSE else retry.maximum_seconds
    return RetryOverride(retry.attempts, retry.initial_seconds, retry.coefficient, maximum)
