"""What becomes of an unfinished task after a restore, by what engines say of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from backends.port import WorkflowState
from gateway.recovery.restored.verdicts import Start, Unfinished, Verdict, judge

COMPLETED, FAILED, QUEUED, RUNNING = (
    WorkflowState.COMPLETED,
    WorkflowState.FAILED,
    WorkflowState.QUEUED,
    WorkflowState.RUNNING,
)
WAITING = Unfinished("t", "waiting", None, 1)
ON_REDIS = Unfinished("t", "queued", "redis", 2)
ON_TEMPORAL = Unfinished("t", "running", "temporal", 2)


def start(epoch: int, backend: str, state: WorkflowState | None, **more: Any) -> Start:
    return Start("t", epoch, backend, state, **more)


@pytest.mark.parametrize(
    ("task", "starts", "verdict"),
    [
        # An end of the gap, on whichever engine, also of a later start than the row knows.
        (ON_TEMPORAL, [start(2, "temporal", COMPLETED)], Verdict.COMPLETED),
        (ON_TEMPORAL, [start(2, "temporal", FAILED), start(3, "redis", COMPLETED)], Verdict.COMPLETED),
        (WAITING, [start(2, "redis", COMPLETED)], Verdict.COMPLETED),
        (ON_TEMPORAL, [start(2, "temporal", FAILED)], Verdict.FAILED),
        # An end from before the backup says nothing: the task was retried since.
        (WAITING, [start(1, "redis", COMPLETED)], Verdict.CONTINUES),
        (ON_TEMPORAL, [start(1, "temporal", COMPLETED)], Verdict.UNDECIDED),
        # Redis: a legacy worker may have run it, whatever the marker says.
        (ON_REDIS, [start(2, "redis", QUEUED)], Verdict.UNDECIDED),
        (ON_REDIS, [start(2, "redis", FAILED)], Verdict.UNDECIDED),
        (WAITING, [start(2, "redis", None)], Verdict.UNDECIDED),
        (ON_REDIS, [], Verdict.UNDECIDED),
        # Temporal knows whether a worker had it.
        (ON_TEMPORAL, [start(2, "temporal", QUEUED, has_begun=False)], Verdict.CONTINUES),
        (ON_TEMPORAL, [start(2, "temporal", QUEUED, has_begun=True)], Verdict.UNDECIDED),
        (ON_TEMPORAL, [start(2, "temporal", RUNNING)], Verdict.UNDECIDED),
        (WAITING, [], Verdict.CONTINUES),
    ],
)
def test_verdicts(task: Unfinished, starts: list[Start], verdict: Verdict) -> None:
    assert judge(task, starts).verdict is verdict


def test_nothing_is_concluded_from_the_silence_of_an_engine_that_forgot() -> None:
    assert judge(WAITING, [], forgetful="redis was emptied").verdict is Verdict.UNDECIDED
    assert judge(ON_TEMPORAL, [start(2, "temporal", COMPLETED)], forgetful="…").verdict is Verdict.COMPLETED


def test_a_part_of_a_run_is_left_to_a_person_unless_it_completed() -> None:
    part = replace(WAITING, is_of_run=True)
    assert judge(part, []).verdict is Verdict.UNDECIDED
    assert judge(part, [start(2, "temporal", FAILED)]).verdict is Verdict.UNDECIDED
    assert judge(part, [start(2, "temporal", COMPLETED)]).verdict is Verdict.COMPLETED
