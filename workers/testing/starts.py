"""Starts for tests: random ids, so that tests beside each other on one server do not meet."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from backends.port import WorkflowRef, WorkflowStart


def new_start(
    payload: Mapping[str, Any] | None = None,
    *,
    task_type: str = "add_episode",
    group_id: str | None = None,
    priority: int = 3,
) -> WorkflowStart:
    """The first start of a new task, in a group of its own unless told otherwise."""
    task_id = str(uuid.uuid4())
    group = group_id or f"group-{task_id[-8:]}"
    return WorkflowStart(
        ref=WorkflowRef(task_id, 1, group, task_type),
        payload={"group_id": group, "content": "text", **(payload or {})},
        timeout=timedelta(seconds=600),
        tenant_id="acme",
        project_id="project",
        queue=f"tenant-acme-{task_type}",
        priority=priority,
    )


def next_epoch(start: WorkflowStart) -> WorkflowStart:
    """The start after this one, of the same task."""
    return replace(start, ref=replace(start.ref, epoch=start.ref.epoch + 1))
