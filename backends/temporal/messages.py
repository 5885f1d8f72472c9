"""The message to a worker: one dataclass, the input of the activity and of the workflow around it.

Pure: imported by workflow modules inside Temporal's sandbox. Fields are only ever added, with a default, because
messages written by an older gateway wait in queues while a newer worker starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(slots=True)
class ActivityOptions:
    """How the workflow around a task starts its activity; durations in seconds, no limit on attempts.

    The attempts of a task are counted in PostgreSQL, so that a lost worker does not use one up; the worker ends
    the retries itself with a non-retryable failure.
    """

    queue: str
    start_to_close: float
    heartbeat: float
    retry_initial: float = 1.0
    retry_coefficient: float = 2.0
    retry_maximum: float = 600.0


@dataclass(slots=True)
class RunDag:
    """One start of a run of a DAG. Everything else about it is in PostgreSQL."""

    run_id: str
    epoch: int
    carried: int = 0
    """How often the workflow went on under a new history."""
    undo_by: str | None = None
    """When what is being undone is to be undone, in ISO 8601; None: nothing is yet, or it has no deadline."""


@dataclass(slots=True)
class RunTask:
    """One start of one task. `payload` None: the worker reads it from PostgreSQL when it claims the task."""

    task_id: str
    epoch: int
    task_type: str
    group_id: str
    payload: dict[str, Any] | None = None
    trace: dict[str, str] = field(default_factory=dict)
    options: ActivityOptions | None = None
    """Set for the workflow only; a standalone activity has its options from its start."""


@dataclass(slots=True)
class Probe:
    """Asks a worker what it would do with a task. `payload` None: the worker reads it from PostgreSQL."""

    task_id: str
    task_type: str
    group_id: str
    payload: dict[str, Any] | None = None


_FIELDS = frozenset(field.name for field in fields(RunTask)) - {"options"}


def message_of(plain: Mapping[str, Any]) -> RunTask:
    """The message that was plain JSON on its way; what a newer gateway may have added is left out.

    Its options are the workflow's, which has read them before.
    """
    return RunTask(**{name: value for name, value in plain.items() if name in _FIELDS})


def probe_of(plain: Mapping[str, Any]) -> Probe:
    """As `message_of`. Raises `TypeError` when something is missing."""
    return Probe(**{field.name: plain[field.name] for field in fields(Probe) if field.name in plain})
