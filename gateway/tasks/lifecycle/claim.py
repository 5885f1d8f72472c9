"""Claims (the right to run a task once), why one was not granted, and the result of a failed run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run a task once. `attempt` is the fence: reports with another one are ignored."""

    task_id: str
    attempt: int
    epoch: int
    worker_id: str
    """The name of the process that it was granted to; the process may have lost that name since."""
    tenant_id: str | None
    project_id: str | None
    user_id: str | None
    group_id: str
    task_type: str
    payload: dict[str, Any] | None
    timeout_seconds: float | None = None
    """The limit of this task; the handler's own limit applies, too."""


@dataclass(frozen=True, slots=True)
class ClaimStatus:
    """State of a task whose claim was not granted."""

    state: str
    backend: str | None
    epoch: int
    worker_id: str | None
    claimed_seconds: float | None
    """Since the last claim that was granted."""
    worker_alive: bool
    expired: bool
    legacy_has_it: bool
    """A legacy worker took it or ended it, and the reconciler has not merged that yet."""


@dataclass(frozen=True, slots=True)
class FailureVerdict:
    """The result of a failed run: `retry_in` is None if the task is now FAILED."""

    retry_in: timedelta | None
