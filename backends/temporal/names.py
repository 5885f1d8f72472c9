"""Every name that the gateway and its workers agree on in Temporal.

Pure: imported by workflow modules inside Temporal's sandbox.
"""

from __future__ import annotations

ENGINE = "temporal"
"""The value of `dispatch.backend`."""

RUN_TASK = "taskgate.run_task"
"""Type name of the activity that runs a task, and of the workflow around it where activities do not stand alone."""

PROBE = "taskgate.probe"
"""Type name of the activity that answers a probe. It runs no task."""

ACTIVITY_ID = "run"
"""Id of the one activity inside a fallback workflow; a standalone activity has the workflow id itself."""

GATEWAY_IDENTITY = "taskgate-gateway-"
"""How the identity of every gateway begins, so that what a gateway ended can be told from what a person did."""

WORKFLOW_QUEUE = "taskgate-workflows"
"""Where workflow tasks of every tenant go; their activities go to the queue of the start."""

RUN_DAG = "taskgate.dag"
"""Type name of the workflow that carries out a run of a DAG."""

DAG_QUEUE = "taskgate-dags"
"""Where workflow tasks of DAGs go: their workers keep workflows in memory, which those of `WORKFLOW_QUEUE` do not."""

DAG_ENDED = "ended"
"""Signal: nodes of the run ended."""

DAG_TOLD = "told"
"""Update with the same meaning: Temporal hands it to a worker before it writes anything, sooner than a signal."""

UNREGISTERED_QUEUE = "shared-unregistered"
"""Tasks of a type that no live worker has registered: every worker polls it, and fails what it does not know."""

TENANT_ATTRIBUTE = "TaskgateTenant"
PROJECT_ATTRIBUTE = "TaskgateProject"
TASK_TYPE_ATTRIBUTE = "TaskgateTaskType"
TASK_ID_ATTRIBUTE = "TaskgateTaskId"
PRIORITY_ATTRIBUTE = "TaskgatePriority"

KEYWORD_ATTRIBUTES = (TENANT_ATTRIBUTE, PROJECT_ATTRIBUTE, TASK_TYPE_ATTRIBUTE, TASK_ID_ATTRIBUTE)
INT_ATTRIBUTES = (PRIORITY_ATTRIBUTE,)
ATTRIBUTES = KEYWORD_ATTRIBUTES + INT_ATTRIBUTES


def tenant_queue(tenant_id: str, task_type: str) -> str:
    """Queue of one enterprise or VIP tenant's tasks of one type."""
    return f"tenant-{tenant_id}-{task_type}"


def shared_queue(task_type: str) -> str:
    """Queue of all standard tenants' tasks of one type; the tenant is the fairness key."""
    return f"shared-{task_type}"


def probe_id(task_id: str) -> str:
    """Id of the probe beside a task; no start has such an id (`backends.port.possible_starts`)."""
    return f"probe-{task_id}"
