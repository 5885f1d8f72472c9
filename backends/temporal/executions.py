"""The two shapes a task takes in Temporal, behind one interface, and what both need."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from temporalio.api.common.v1 import Payloads
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.converter import DataConverter

from backends.errors import EngineError
from backends.port import EndedWorkflow, WorkflowStart, WorkflowState, WorkflowStatus
from backends.temporal.connection import Session
from backends.temporal.messages import RunTask

LONG_POLL_SECONDS = 30.0
"""Deadline of one call that waits for an end; the server answers an empty one sooner (20 s)."""

AT_ONCE = timedelta(milliseconds=1)
PAGE = 1000


class Executions(Protocol):
    """Tasks of one shape. Every method that is given an id, but `start`, raises `WorkflowNotFound` for one that it does
    not have, and every method `Unsupported` where the server does not know the shape.
    """

    async def start(self, session: Session, start: WorkflowStart, message: RunTask, *, attributes: bool) -> None:
        """Raises `AlreadyExists` when an execution of this id ended before."""

    async def status(self, session: Session, workflow_id: str) -> WorkflowStatus: ...

    async def result(self, session: Session, workflow_id: str) -> Any: ...

    async def cancel(self, session: Session, workflow_id: str, reason: str) -> bool: ...

    async def requeue(self, session: Session, workflow_id: str, reason: str, held_by: str | None) -> bool:
        """`held_by`: see `WorkflowEnginePort.requeue_workflow`."""

    async def ended(self, session: Session, since: datetime, *, completed: bool) -> Sequence[EndedWorkflow]: ...

    async def count_open(self, session: Session) -> int: ...

    async def open_ids(self, session: Session) -> Sequence[str]: ...


def worker_lost(reason: str) -> Failure:
    """The failure that makes Temporal run an attempt again at once (21–24 ms; a heartbeat timeout takes 1.5 s)."""
    info = ApplicationFailureInfo(type="WorkerLost")
    info.next_retry_delay.FromTimedelta(AT_ONCE)
    return Failure(message=reason, source="taskgate", application_failure_info=info)


async def failure_text(failure: Failure, converter: DataConverter) -> str:
    """The innermost message of a failure: that of the handler, or of Temporal."""
    error: BaseException = await converter.decode_failure(failure)
    while error.__cause__ is not None:
        error = error.__cause__
    return str(getattr(error, "message", "") or error)


async def first_value(payloads: Payloads, converter: DataConverter) -> Any:
    values = await converter.decode(payloads.payloads) if payloads.payloads else []
    return values[0] if values else None


def raise_end(status: WorkflowStatus) -> None:
    """Raise for an end without a result."""
    if status.state is not WorkflowState.COMPLETED:
        raise EngineError(f"{status.state}: {status.error or 'no reason given'}")


#: Ends, as visibility calls them. With them named it need not walk over all that is open.
_ENDS = ("Completed", "Failed", "Canceled", "Terminated", "TimedOut")


def still_open(type_attribute: str, type_names: Sequence[str]) -> str:
    """Visibility query for our executions that have not ended."""
    return f"{type_attribute} IN ({_listed(type_names)}) AND ExecutionStatus = 'Running'"


def _listed(type_names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in type_names)


def closed_since(type_attribute: str, type_names: Sequence[str], since: datetime, *, completed: bool) -> str:
    """Visibility query for our executions that ended at or after `since`; see `WorkflowEnginePort.list_ended`."""
    moment = since.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    ends = ", ".join(f"'{end}'" for end in _ENDS if completed or end != "Completed")
    return f"{type_attribute} IN ({_listed(type_names)}) AND CloseTime >= '{moment}' AND ExecutionStatus IN ({ends})"
