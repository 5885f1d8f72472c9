"""`WorkflowEnginePort`: the interface of a backend, in terms of the domain.

One method is one verb. A caller asks for a `Capability`, never for an engine's name.
Each adapter (`redis_queue`, `temporal`, `memory`) passes the conformance suite in
`contract-tests/engine_port`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol


class Capability(StrEnum):
    """What an engine may be able to do beyond running a task."""

    SIGNAL = "signal"
    PRIORITY = "priority"
    FAIRNESS = "fairness"
    CANCEL_RUNNING = "cancel_running"
    """`cancel_workflow` reaches a task that already runs (else only one that waits)."""
    REQUEUE = "requeue"
    RESULT = "result"
    """Results are kept by the engine itself."""
    FENCED = "fenced"
    """Every worker of this engine claims a task before it runs it (legacy workers do not)."""
    WORKFLOWS = "workflows"
    """Runs types with several steps (DAGs)."""
    DIRECT = "direct"
    """Finds a start by its id. An engine without this reads lists for it, and calls at once slow each other down."""
    WITHDRAW = "withdraw"
    """`withdraw_not_begun` takes back starts of which it is certain that no worker has received them."""


class WorkflowState(StrEnum):
    """Where a workflow stands, as the engine itself sees it."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"
    TIMED_OUT = "timed_out"

    @property
    def is_terminal(self) -> bool:
        return self not in (WorkflowState.QUEUED, WorkflowState.RUNNING)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a failed attempt is repeated: 1 s, doubled, at most 10 min, 3 attempts."""

    initial: timedelta = timedelta(seconds=1)
    coefficient: float = 2.0
    maximum: timedelta = timedelta(minutes=10)
    attempts: int = 3

    def delay_after(self, failures: int) -> timedelta:
        """The pause after the given number of failed attempts (1 = the first failure)."""
        seconds = self.initial.total_seconds() * self.coefficient ** min(max(failures - 1, 0), 60)
        return min(timedelta(seconds=min(seconds, self.maximum.total_seconds())), self.maximum)


@dataclass(frozen=True, slots=True)
class WorkflowRef:
    """Identifies one start of one task on one engine.

    `epoch` counts the starts of a task (1 = the first), and every start has a different id. So a start that is repeated
    with the same epoch is one start, and a retry is never mistaken for the previous run.
    """

    task_id: str
    epoch: int
    group_id: str
    task_type: str

    @property
    def workflow_id(self) -> str:
        """`task-<task_id>` for the first start, `task-<task_id>-<epoch>` for each later one."""
        return f"task-{self.task_id}" if self.epoch == 1 else f"task-{self.task_id}-{self.epoch}"


def possible_starts(workflow_id: str) -> list[tuple[str, int]]:
    """Task id and epoch of each start that this workflow id may mean: a suffix is an epoch or part of the task id."""
    if not workflow_id.startswith("task-"):
        return []
    body = workflow_id.removeprefix("task-")
    head, _, tail = body.rpartition("-")
    return [(body, 1), (head, int(tail))] if head and tail.isdecimal() and int(tail) < 2**31 else [(body, 1)]


@dataclass(frozen=True, slots=True)
class WorkflowStart:
    """Everything an engine needs to start a task.

    `payload` is the task's JSON object (contract §5, without the wire's own keys); engines whose messages are
    limited in size send a reference instead, and the worker reads the payload when it claims the task.
    `queue` is the name of the task queue; engines without named queues ignore it.
    `priority` is 1 (first) to 5 (last).
    """

    ref: WorkflowRef
    payload: Mapping[str, Any]
    timeout: timedelta
    tenant_id: str | None = None
    project_id: str | None = None
    queue: str = ""
    priority: int = 3
    fairness_key: str | None = None
    fairness_weight: float = 1.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    trace: Mapping[str, str] = field(default_factory=dict)
    workflow: str | None = None
    """Type of the workflow that runs it (`Capability.WORKFLOWS`); None: a handler runs it."""


@dataclass(frozen=True, slots=True)
class WorkflowStatus:
    """What the engine says of one start: its state, and, when it failed, why."""

    state: WorkflowState
    error: str | None = None
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class EndedWorkflow:
    """One start that the engine reports as ended; `workflow_id` as in `WorkflowRef`."""

    workflow_id: str
    status: WorkflowStatus


class Place(StrEnum):
    """Where in an engine a task is."""

    WAITING = "waiting"
    HELD = "held"
    """One of the gateway's own workers has it."""
    HELD_ELSEWHERE = "held_elsewhere"
    """A worker has it that is not the gateway's (a legacy worker)."""
    COLLECTED = "taken"
    """The gateway has collected it from its queue, but has not accepted it as a task yet."""
    SET_ASIDE = "set_aside"
    """It is not a task that can be run."""


@dataclass(frozen=True, slots=True)
class Stock:
    """Tasks of one kind that an engine holds in one place.

    `is_foreign`: somebody else than the gateway gave them to the engine; then the rest is what they say of themselves
    (`last_at`: the youngest of their own times), else it is left out.
    """

    place: Place
    is_foreign: bool
    tasks: int
    group_id: str | None = None
    task_type: str = ""
    tenant_id: str | None = None
    project_id: str | None = None
    last_at: datetime | None = None


class WorkflowEnginePort(Protocol):
    """A backend that runs tasks.

    Every method may raise `EngineUnavailable`, which promises that the engine did nothing.
    """

    @property
    def name(self) -> str:
        """The name in `dispatch.backend`, e.g. `redis` or `temporal`."""

    @property
    def capabilities(self) -> frozenset[Capability]: ...

    async def start_workflow(self, start: WorkflowStart) -> None:
        """Start the task; a repeated start with the same `ref` is the same start, not an error.

        Raises `StartUncertain` when the answer was lost, `StartRefused` when it can never succeed.
        """

    async def get_workflow_status(self, ref: WorkflowRef) -> WorkflowStatus | None:
        """The state of this start, None when the engine knows nothing of it."""

    async def get_workflow_result(self, ref: WorkflowRef) -> Any:
        """Wait for the end and return the result. Raises `WorkflowNotFound`, or `EngineError` with the failure."""

    async def cancel_workflow(self, ref: WorkflowRef, reason: str) -> bool:
        """Remove a waiting task, or ask a running one to stop. Returns whether there was something to cancel."""

    async def signal_workflow(self, ref: WorkflowRef, signal: str, payload: Any) -> None:
        """Deliver a signal. Raises `CapabilityMissing` or `WorkflowNotFound`."""

    async def requeue_workflow(self, ref: WorkflowRef, reason: str, *, held_by: str | None = None) -> bool:
        """Run a start of a lost worker again at once. Returns False if the engine no longer has it.

        `held_by`: that worker; empty: a legacy one; None: whoever has it. What another was given since stays with
        that, so that this may be asked again when its answer was lost.
        """

    async def list_held(self, worker_id: str) -> Sequence[str]:
        """Workflow ids of the starts that the engine handed to this worker (empty: it keeps no such list)."""

    async def release_worker(self, worker_id: str, ended: Mapping[WorkflowRef, WorkflowStatus] | None = None) -> int:
        """Take back starts that the engine gave to a lost worker and nobody claimed. Returns how many.

        `ended`: those of them whose end is known, though the worker could not report it. The engine notes this end,
        unless it knows one, and does not run them again.
        """

    async def find_lost(self, refs: Sequence[WorkflowRef]) -> list[WorkflowRef]:
        """Returns those of `refs` that the engine does not know: they neither wait, run nor ended."""

    async def withdraw_not_begun(self, refs: Sequence[WorkflowRef]) -> list[WorkflowRef]:
        """Take back those of these starts that no worker has been given; returns them.

        From then on the engine knows nothing of them, and takes none of them again: neither a late repetition of the
        start nor a copy that a worker puts back. The others are left as they are. To ask again gives the same answer.
        Raises `AnswerLost` when some may have been taken back, `CapabilityMissing`.
        """

    async def keep_fresh(self) -> int:
        """Refresh waiting starts, so that legacy workers do not treat them as stalled (R4). Returns how many."""

    async def list_ended(self, since: datetime, *, completed: bool = True) -> Sequence[EndedWorkflow]:
        """The starts that ended at or after `since`, as far as the engine keeps them (empty when it keeps none);
        without `completed` those that came to another end.
        """

    async def count_open(self) -> int | None:
        """How many of the gateway's starts have not ended, by an index that may lag behind (None: it keeps none)."""

    async def take_stock(self) -> Sequence[Stock]:
        """What the engine holds and has not ended, whoever gave it to it (empty: only the gateway gives it tasks).

        A task that moves during the call is counted at least once, unless it moves away and back.
        """

    async def get_incarnation(self) -> str:
        """An id that stays the same while the engine keeps its data; a new one means that waiting tasks may be lost."""

    async def check_health(self) -> None:
        """Return when the engine answers. Raises `EngineUnavailable`."""

    async def close(self) -> None:
        """Give back connections."""
