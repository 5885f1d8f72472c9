"""How a new task begins: at an engine at once, or by waiting; and who says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from backends.port import WorkflowStart
from gateway.submission.new_task import NewTask

if TYPE_CHECKING:  # workers use it, and need no flag SDK
    from gateway.routing.flags import FlagEvaluation


@dataclass(frozen=True, slots=True)
class Launch:
    """How the dispatcher wants a new task recorded: `starting` on a backend at once, or `waiting`.

    `due_at` is when whoever sweeps looks at the row: the repetition of a start nobody confirmed, or the task's time.
    `held` is why nobody is to look at it, whatever its time.
    """

    state: str
    due_at: datetime
    backend: str | None = None
    stage: str | None = None
    queue: str | None = None
    start: WorkflowStart | None = None
    flag: FlagEvaluation | None = None
    """The evaluation that chose the backend, for LaunchDarkly's metrics."""
    repeated: bool = False
    """An earlier try of the same start may have been carried out."""
    held: str | None = None


class Launcher(Protocol):
    """The dispatcher, as intake sees it."""

    @property
    def owner_id(self) -> str: ...

    def plan(self, task: NewTask) -> Launch:
        """Choose the backend if the task is due and its lane is free; no I/O."""

    def launch(self, launch: Launch) -> None:
        """Start a committed task in the background."""

    def wake(self) -> None:
        """Look at waiting tasks soon."""
