"""Tasks as messages: rows and newly accepted tasks become `taskgate.v1.Task`."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.field_mask_pb2 import FieldMask
from taskgate.v1 import Task, TaskStatus

from gateway.rpc.failures import invalid
from gateway.rpc.requests import put_time
from gateway.rpc.values import from_json_text
from gateway.submission.new_task import NewTask
from gateway.tasks.queries.task_row import Status, TaskRow

STATUSES = {
    Status.PENDING: TaskStatus.TASK_STATUS_PENDING,
    Status.PROCESSING: TaskStatus.TASK_STATUS_PROCESSING,
    Status.COMPLETED: TaskStatus.TASK_STATUS_COMPLETED,
    Status.FAILED: TaskStatus.TASK_STATUS_FAILED,
    Status.STOPPED: TaskStatus.TASK_STATUS_STOPPED,
}
STATUS_OF = {number: status for status, number in STATUSES.items()}

_FIELDS = frozenset(Task.DESCRIPTOR.fields_by_name)


def task_of(row: TaskRow, hidden: Iterable[str] = ()) -> Task:
    """The message for a row, without the fields of `hidden`."""
    task = Task(
        task_id=row.id,
        task_type=row.task_type,
        status=STATUSES.get(row.status, TaskStatus.TASK_STATUS_UNSPECIFIED),  # type: ignore[call-overload]
        progress=row.progress,
        message=row.message,
        error=row.error_message,
        worker_id=row.worker_id,
        retries=row.retry_count,
        entity_id=row.entity_id,
        entity_type=row.entity_type,
    )
    if row.created_at is not None:
        put_time(task.created_at, row.created_at)
    if row.started_at is not None:
        put_time(task.started_at, row.started_at)
    if row.completed_at is not None:
        put_time(task.completed_at, row.completed_at)
        if row.started_at is not None and row.completed_at >= row.started_at:
            task.duration.FromTimedelta(row.completed_at - row.started_at)
    if row.result is not None and "result" not in hidden:
        from_json_text(row.result, task.result)
    for name in hidden:
        task.ClearField(name)  # type: ignore[arg-type]
    return task


def accepted_task(task: NewTask) -> Task:
    """The message for a task that was accepted just now."""
    message = Task(
        task_id=task.task_id,
        task_type=task.task_type,
        status=TaskStatus.TASK_STATUS_PENDING,
        entity_id=task.entity_id,
        entity_type=task.entity_type,
    )
    put_time(message.created_at, task.created_at)
    return message


def hidden_by(mask: FieldMask) -> frozenset[str]:
    """The fields of `Task` that a `read_mask` leaves out; an empty one and `*` leave out none.

    Raises `InvalidFields`.
    """
    wanted = frozenset(mask.paths)
    for path in wanted:
        if path != "*" and path not in _FIELDS:
            raise invalid("read_mask", f"'{path[:100]}' is not a field of Task")
    return frozenset() if not wanted or "*" in wanted else _FIELDS - wanted
