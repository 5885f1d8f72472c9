"""What an engine says of a start that is only rehearsed: no task reaches its queues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from backends.port import WorkflowStart


@dataclass(frozen=True, slots=True)
class Objection:
    """What would be wrong with a start: a code of `gateway.migration.rehearsal.reasons`, and the details."""

    code: str
    detail: str = ""


class RehearsalPort(Protocol):
    """Rehearses starts for an engine. Every method may raise `EngineUnavailable`."""

    async def check(self, start: WorkflowStart) -> Sequence[Objection]:
        """Compile the complete start, as it would be sent, and say what speaks against it. Has no side effects."""
