"""What an engine says of a start that is only rehearsed: no task reaches its queues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from backends.port import WorkflowStart


@dataclass(frozen=True, slots=True)
class Objection:
    """What would be wrong with a start: a code of `gateway.migration.rehearsal.reasons`, and the details."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """How a probe ended: `outcome` as in `gateway.migration.rehearsal.probe_outcomes`. Seconds, None: unknown."""

    outcome: str
    detail: str = ""
    queue_seconds: float | None = None
    """From the start of the probe until a worker ran it."""
    decode_seconds: float | None = None
    run_seconds: float | None = None
    worker_id: str | None = None


class RehearsalPort(Protocol):
    """Rehearses starts for an engine. Every method may raise `EngineUnavailable`."""

    async def check(self, start: WorkflowStart) -> Sequence[Objection]:
        """Compile the complete start, as it would be sent, and say what speaks against it. Has no side effects."""

    async def send_probe(self, start: WorkflowStart, *, wait: timedelta, by_reference: bool) -> None:
        """Send a probe to the queue of this start, with its payload, priority and share; sent again it is the same one.

        `by_reference`: the worker reads the payload, as it would that of the task. If no worker takes it within
        `wait`, it ends. Raises `CapabilityMissing`, `StartRefused`, `StartUncertain`.
        """

    async def probe_answer(self, task_id: str) -> ProbeAnswer | None:
        """How the probe beside this task ended; None: it is under way. Raises `WorkflowNotFound`."""
