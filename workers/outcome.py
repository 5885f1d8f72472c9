"""Assignments that a worker gives to the task runner, and the outcomes that it gets back.

Both workers (`workers.redis_queue`, `workers.temporal`) run everything through one `TaskRunner`: it claims the
task in PostgreSQL, runs the handler under its timeout, and reports the end. The worker then only reports the
outcome to its engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Assignment:
    """One task as an engine offered it to a worker.

    `epoch` names the start on the engine (None: a payload that the gateway did not start, such as a legacy
    producer's). `payload` is the task's JSON object as handlers know it (on Redis with `task_type`, `task_id` and
    `timestamp`, never with `dispatch_epoch`); None means that the runner reads it from PostgreSQL when it claims the
    task. `engine_attempt` counts the engine's own offers of this start. `trace` is the context of
    the task's trace. `limit_seconds`: a run that takes longer is cut off by the engine (None: it lets it run).
    """

    task_id: str
    backend: str
    epoch: int | None
    payload: dict[str, Any] | None
    task_type: str
    group_id: str
    engine_attempt: int = 1
    trace: Mapping[str, str] = field(default_factory=dict)
    limit_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """The handler returned; PostgreSQL has the result."""

    result: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed. `retry_in`: when it is to be tried again; None: final."""

    error: str
    error_type: str
    retry_in: timedelta | None = None


#: Reason of `Stopped` if the run lost its claim and was not stopped by somebody.
FENCED = "fenced"


@dataclass(frozen=True, slots=True)
class Stopped:
    """The task was stopped while it ran."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The claim was not granted, no handler ran.

    With `retry_in`, the engine offers the assignment again then (another attempt may still be alive). Without it, the
    engine drops it (superseded, stopped, or finished elsewhere). With `set_aside`, it keeps it for people to look at,
    because its task id belongs to somebody else.
    """

    reason: str
    retry_in: timedelta | None = None
    set_aside: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """The worker ends, or has to give up the task, and the handler goes on. Its claim is kept until either has ended.

    The engine keeps the start for this worker, or offers it to others, who are refused.
    """


Outcome: TypeAlias = Completed | Failed | Stopped | Refused | Kept


class TaskRunner(Protocol):
    """Runs one assignment to its end; errors of handlers are outcomes, never exceptions."""

    async def run(self, assignment: Assignment) -> Outcome: ...
