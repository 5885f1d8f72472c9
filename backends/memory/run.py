"""What the in-memory engine knows of one start, and the hold that a worker has on it while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from backends.port import WorkflowStart, WorkflowState, WorkflowStatus


@dataclass(slots=True, eq=False)
class Record:
    """One start. `arrival` counts the starts of the engine; `dropped` means that the engine has forgotten it."""

    start: WorkflowStart
    arrival: int
    state: WorkflowState = WorkflowState.QUEUED
    error: str | None = None
    result: Any = None
    attempt: int = 0
    ended_at: datetime | None = None
    dropped: bool = False
    withdrawn: bool = False
    cancel_reason: str | None = None
    run: MemoryRun | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    signals: asyncio.Queue[tuple[str, Any]] = field(default_factory=asyncio.Queue)

    @property
    def status(self) -> WorkflowStatus:
        return WorkflowStatus(self.state, self.error, self.attempt)

    def end(self, state: WorkflowState, at: datetime, *, error: str | None = None, result: Any = None) -> None:
        """Reach a final state."""
        self.state, self.error, self.result, self.ended_at, self.run = state, error, result, at, None
        self.over.set()

    def withdraw(self, at: datetime) -> None:
        """The start was withdrawn before it began: it counts as never made, but its id stays used."""
        self.withdrawn = self.dropped = True
        self.end(WorkflowState.CANCELLED, at)


class MemoryRun:
    """A task that a worker runs and ends with one of the methods.

    A word that comes late (the task was put back meanwhile, or has ended) changes nothing.
    """

    def __init__(
        self, record: Record, worker_id: str, clock: Callable[[], datetime], put_back: Callable[[Record], None]
    ) -> None:
        self.start = record.start
        self.attempt = record.attempt
        self.worker_id = worker_id
        self.cancelled = asyncio.Event()
        """Set when somebody asked the running task to stop."""
        self.signals = record.signals
        """Signals as (name, payload), in order."""
        self._record = record
        self._clock = clock
        self._put_back = put_back

    @property
    def is_current(self) -> bool:
        """Whether the engine still regards this run as the task's."""
        return self._record.run is self

    def complete(self, result: Any = None) -> None:
        """The task is done."""
        if self.is_current:
            self._record.end(WorkflowState.COMPLETED, self._clock(), result=result)

    def fail(self, error: str) -> None:
        """The task has failed for good."""
        if self.is_current:
            self._record.end(WorkflowState.FAILED, self._clock(), error=error)

    def stop(self, reason: str | None = None) -> None:
        """The task was stopped while it ran."""
        if self.is_current:
            self._record.end(WorkflowState.CANCELLED, self._clock(), error=reason or self._record.cancel_reason)

    def give_back(self, after: timedelta = timedelta(0)) -> None:
        """Offer the task again, after a pause or at once."""
        if after > timedelta(0):
            asyncio.get_running_loop().call_later(after.total_seconds(), self.give_back)
        elif self.is_current:
            self._put_back(self._record)

    def drop(self) -> None:
        """Forget the task; its id stays used."""
        if self.is_current:
            self._record.dropped = True
            self._record.end(WorkflowState.CANCELLED, self._clock())
