"""Names that clusters, dashboards and waiting tasks already have: none may change."""

from __future__ import annotations

from backends.port import WorkflowRef
from backends.temporal import names


def test_queues() -> None:
    assert names.tenant_queue("acme", "add_episode") == "tenant-acme-add_episode"
    assert names.shared_queue("add_episode") == "shared-add_episode"
    assert names.UNREGISTERED_QUEUE == "shared-unregistered"
    assert names.WORKFLOW_QUEUE == "taskgate-workflows"


def test_types_and_ids() -> None:
    assert names.ENGINE == "temporal"
    assert names.RUN_TASK == "taskgate.run_task"
    assert names.ACTIVITY_ID == "run"
    assert WorkflowRef("t1", 1, "g", "x").workflow_id == "task-t1"
    assert WorkflowRef("t1", 2, "g", "x").workflow_id == "task-t1-2"


def test_search_attributes() -> None:
    assert set(names.KEYWORD_ATTRIBUTES) == {
        "TaskgateTenant",
        "TaskgateProject",
        "TaskgateTaskType",
        "TaskgateTaskId",
    }
    assert names.INT_ATTRIBUTES == ("TaskgatePriority",)
