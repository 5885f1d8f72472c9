"""What becomes of a task that the restored database calls unfinished, by what its engines say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from backends.port import WorkflowState
from gateway.routing.stages import REDIS, TEMPORAL


class Verdict(StrEnum):
    """`continues`: it certainly did not begin in the gap. `undecided`: it may have, so that a person decides."""

    UNDECIDED = "undecided"
    COMPLETED = "completed"
    FAILED = "failed"
    CONTINUES = "continues"


@dataclass(frozen=True, slots=True)
class Start:
    """A start that an engine knows. `has_begun`: a worker was given it, or may have been."""

    task_id: str
    epoch: int
    backend: str
    state: WorkflowState | None
    error: str = ""
    has_begun: bool = True


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A task as the restored database knows it. `backend` is None before its first start."""

    task_id: str
    state: str
    backend: str | None
    epoch: int
    is_of_run: bool = False
    """It is a run of a DAG, or a node of one."""
    is_run: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """`found` says it to people."""

    verdict: Verdict
    found: str


def judge(task: Unfinished, starts: Sequence[Start], *, forgetful: str | None = None) -> Finding:
    """`forgetful`: why engines may have forgotten starts of the gap; None when they have not."""
    begun_at = task.epoch + 1 if task.state == "waiting" else task.epoch
    later = sorted((start for start in starts if start.epoch >= begun_at), key=lambda start: start.epoch)
    if done := next((start for start in later if start.state is WorkflowState.COMPLETED), None):
        return Finding(Verdict.COMPLETED, f"{done.backend} completed it")
    last = later[-1] if later else None
    if task.is_run and last is not None and last.state is WorkflowState.FAILED:
        return Finding(Verdict.FAILED, last.error or "temporal says that it failed")
    if task.is_of_run:
        unsure = f"; what it ran may be forgotten: {forgetful}" if forgetful is not None else ""
        return Finding(Verdict.UNDECIDED, f"part of a DAG run, which may have gone on{unsure}")
    if last is None:
        if forgetful is not None:
            return Finding(Verdict.UNDECIDED, forgetful)
        if task.state == "waiting":
            return Finding(Verdict.CONTINUES, "no engine had it")
        return Finding(Verdict.UNDECIDED, f"{task.backend} knows nothing of it any more")
    if any(start.backend == REDIS for start in later):
        return Finding(Verdict.UNDECIDED, f"redis had it ({_state(last)})")
    if last.state is WorkflowState.FAILED and last.backend == TEMPORAL:
        return Finding(Verdict.FAILED, last.error or "temporal says that it failed")
    if last.state is WorkflowState.QUEUED and not any(start.has_begun for start in later):
        return Finding(Verdict.CONTINUES, f"it waited on {last.backend}, and no worker had it")
    return Finding(Verdict.UNDECIDED, f"{last.backend} had it ({_state(last)})")


def _state(start: Start) -> str:
    return start.state.value.replace("_", " ") if start.state is not None else "taken back"
