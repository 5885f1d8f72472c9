"""Names of the parts of a run."""

from __future__ import annotations

import uuid

from gateway.tasks.run_type import RUN_TYPE as RUN_TYPE

#: Task types of nodes that wait for people; they are no handler's.
APPROVAL_TYPE = "taskgate.approval"
SIGNAL_TYPE = "taskgate.signal"

#: What stands in `task_logs.worker_id` of a run.
RUNNER = "taskgate-dag"

#: Wakes run notifiers that saw no run for a while.
RUNS_CHANNEL = "taskgate_dag_runs"

_NAMESPACE = uuid.UUID("6f3c9d1e-5a2b-4a41-9b57-0d2f6a1c7e10")


def path_of(node: str, position: int | None = None, *, undoes: bool = False) -> str:
    """`fetch`, `fetch[3]`, `fetch~undo`, `fetch[3]~undo`."""
    item = "" if position is None else f"[{position}]"
    return f"{node}{item}{'~undo' if undoes else ''}"


def task_id_of(run_id: str, path: str, epoch: int | None = None) -> str:
    """The task of a node: the same however often it is opened. An undoing has one for each start of the run.

    It can be computed, so it alone allows nobody to follow the task (`gateway.submission.ids.can_be_computed`).
    """
    return str(uuid.uuid5(_NAMESPACE, f"{run_id}/{path}" + ("" if epoch is None else f"@{epoch}")))
