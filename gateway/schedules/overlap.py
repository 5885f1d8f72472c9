"""Decides pending firings of a schedule, given its tasks that are not over. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from gateway.schedules.definition import Overlap

Kind = Literal["clock", "manual", "backfill"]

TASK_EXISTED = "its task existed already"


@dataclass(frozen=True, slots=True)
class Pending:
    """A firing to be decided."""

    nominal_at: datetime
    kind: Kind
    overlap: Overlap


@dataclass(slots=True)
class Decision:
    """`task_id` is the task that is submitted if `outcome` is `fired`; with a reason it is not, as it exists."""

    firing: Pending
    outcome: Literal["fired", "skipped", "refused"]
    task_id: str | None = None
    reason: str | None = None

    @property
    def submits(self) -> bool:
        return self.outcome == "fired" and self.reason is None


@dataclass(slots=True)
class Verdict:
    """Firings that are in neither list stay pending."""

    decisions: list[Decision] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)
    """Tasks to be stopped for those that are fired."""
    runs_left: int | None = None
    kept: int = 0


class Overlaps:
    """Decides firings one after the other, as if each were fired before the next is looked at."""

    def __init__(self, open_tasks: Sequence[str], runs_left: int | None) -> None:
        self._open = list(open_tasks)
        self._fired: list[Decision] = []
        self._is_one_buffered = False
        self.verdict = Verdict(runs_left=runs_left)

    @property
    def fired(self) -> int:
        """How many tasks are to be submitted so far."""
        return len(self._fired)

    def decide(self, firing: Pending, task_id: str) -> None:
        """Judge the next firing, whose task would have this id."""
        verdict = self.verdict
        if firing.kind == "clock" and verdict.runs_left == 0:
            self._skip(firing, "no runs are left")
        elif firing.overlap is Overlap.CANCEL_OTHER:
            verdict.stops += self._open
            for other in self._fired:
                other.outcome, other.task_id = "skipped", None
                other.reason = f"the firing of {firing.nominal_at.isoformat()} came with it and takes its place"
                if other.firing.kind == "clock" and verdict.runs_left is not None:
                    verdict.runs_left += 1
            self._open, self._fired = [], []
            self._fire(firing, task_id)
        elif firing.overlap is Overlap.ALLOW_ALL or not (self._open or self._fired):
            self._fire(firing, task_id)
        elif firing.overlap is Overlap.SKIP:
            self._skip(firing, f"task {self._latest()} of an earlier firing is not over")
        elif firing.overlap is Overlap.BUFFER_ONE and self._is_one_buffered:
            self._skip(firing, "another firing waits already")
        else:
            self._is_one_buffered = True
            verdict.kept += 1

    def note_existing(self, firing: Pending, task_id: str) -> None:
        """The next firing has its task already, which says nothing of the others."""
        self.verdict.decisions.append(Decision(firing, "fired", task_id, TASK_EXISTED))
        if firing.kind == "clock" and self.verdict.runs_left:
            self.verdict.runs_left -= 1

    def _fire(self, firing: Pending, task_id: str) -> None:
        decision = Decision(firing, "fired", task_id)
        self.verdict.decisions.append(decision)
        self._fired.append(decision)
        if firing.kind == "clock" and self.verdict.runs_left is not None:
            self.verdict.runs_left -= 1

    def _skip(self, firing: Pending, reason: str) -> None:
        self.verdict.decisions.append(Decision(firing, "skipped", None, reason))

    def _latest(self) -> str | None:
        return self._fired[-1].task_id if self._fired else self._open[-1]
