"""Whether a task starts on an engine at once or waits, and who decides that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from backends.port import WorkflowStart
from gateway.submission.new_task import NewTask

if TYPE_CHECKING:  # workers use it, and need no flag SDK
    from gateway.routing.flag_evaluation import FlagEvaluation

#: A start is repeated if its owner neither confirms nor renews it for so long (seconds).
REPEAT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class StartPlan:
    """How the dispatcher wants a task recorded: `starting` on a backend at once, or `waiting`.

    `due_at` is when a sweep looks at the row: to repeat an unconfirmed start, or at the task's time. `held`: why no
    sweep takes it, even when it is due.
    """

    state: str
    due_at: datetime
    backend: str | None = None
    stage: str | None = None
    start: WorkflowStart | None = None
    flag: FlagEvaluation | None = None
    """The evaluation that chose the backend, for LaunchDarkly's metrics."""
    repeated: bool = False
    """An earlier try of the same start may have been carried out."""
    held: str | None = None
    rule: str | None = None
    """What decided about the backend."""
    entry_id: int | None = None
    """The entry of the ledger behind it."""
    trace: Mapping[str, str] = field(default_factory=dict)
    """The context of the task's trace; empty: it has none."""
    size: int = 0
    """Bytes of the payload, about."""

    def traced(self, trace: Mapping[str, str]) -> StartPlan:
        """The same plan, of a task with this context."""
        start = None if self.start is None else replace(self.start, trace=trace)
        return replace(self, trace=trace, start=start) if trace else self

    @property
    def queue(self) -> str | None:
        return self.start.queue if self.start else None


def plan_to_wait(due_at: datetime | None = None, backend: str | None = None, *, held: str | None = None) -> StartPlan:
    """The task waits; without a time it is due now. `backend`: the one that cannot take it yet."""
    return StartPlan("waiting", due_at or datetime.now(UTC), backend, held=held)


def plan_to_start(
    backend: str,
    stage: str,
    start: WorkflowStart,
    *,
    rule: str | None,
    entry_id: int | None,
    flag: FlagEvaluation | None = None,
    repeated: bool = False,
    size: int = 0,
) -> StartPlan:
    """The task starts on that backend now, because of that."""
    repeat_at = datetime.now(UTC) + timedelta(seconds=REPEAT_SECONDS)
    return StartPlan(
        "starting", repeat_at, backend, stage, start, flag, repeated, rule=rule, entry_id=entry_id, size=size
    )


#: Is told of tasks that were accepted, and their start plans.
OnAccepted = Callable[[Sequence[NewTask], Sequence[StartPlan]], None]

#: The trace context of a task that is accepted now; empty: it has none.
Tracer = Callable[[NewTask], Mapping[str, str]]


def no_trace(task: NewTask) -> Mapping[str, str]:
    """Nothing is traced."""
    return {}


class DispatcherPort(Protocol):
    """The dispatcher, as intake sees it."""

    @property
    def owner_id(self) -> str: ...

    def plan(self, task: NewTask) -> StartPlan:
        """Choose the backend if the task is due and its lane is free; no I/O."""

    def begin(self, plan: StartPlan) -> None:
        """Start a committed task in the background."""

    def wake(self) -> None:
        """Look at waiting tasks soon."""
