"""What becomes of firings that meet tasks which are not over, or each other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.schedules.definition import Overlap
from gateway.schedules.overlap import Kind, Overlaps, Pending, Verdict

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def judge(
    policy: Overlap, count: int, *, open_tasks: tuple[str, ...] = (), runs_left: int | None = None, kind: Kind = "clock"
) -> Verdict:
    overlaps = Overlaps(open_tasks, runs_left)
    for number in range(count):
        overlaps.decide(Pending(BEGIN + timedelta(hours=number), kind, policy), f"new-{number}")
    return overlaps.verdict


def outcomes(verdict: Verdict) -> list[str]:
    return [decision.outcome for decision in verdict.decisions]


@pytest.mark.parametrize(
    ("policy", "alone", "beside", "kept", "stops"),
    [
        (Overlap.SKIP, ["fired", "skipped", "skipped"], ["skipped"] * 3, (0, 0), []),
        (Overlap.BUFFER_ONE, ["fired", "skipped"], ["skipped"] * 2, (1, 1), []),
        (Overlap.BUFFER_ALL, ["fired"], [], (2, 3), []),
        (Overlap.ALLOW_ALL, ["fired"] * 3, ["fired"] * 3, (0, 0), []),
        (Overlap.CANCEL_OTHER, ["skipped", "skipped", "fired"], ["skipped", "skipped", "fired"], (0, 0), ["old"]),
    ],
)
def test_three_firings(
    policy: Overlap, alone: list[str], beside: list[str], kept: tuple[int, int], stops: list[str]
) -> None:
    verdict = judge(policy, 3)
    assert (outcomes(verdict), verdict.kept, verdict.stops) == (alone, kept[0], [])
    verdict = judge(policy, 3, open_tasks=("old",))
    assert (outcomes(verdict), verdict.kept, verdict.stops) == (beside, kept[1], stops)


@pytest.mark.parametrize("policy", list(Overlap))
def test_only_what_fires_counts_as_a_run(policy: Overlap) -> None:
    verdict = judge(policy, 3, runs_left=2)
    fired = outcomes(verdict).count("fired")
    assert verdict.runs_left == 2 - fired
    assert 1 <= fired <= 2


def test_without_runs_left_the_clock_fires_nothing_and_a_hand_does() -> None:
    assert outcomes(judge(Overlap.ALLOW_ALL, 2, runs_left=0)) == ["skipped"] * 2
    verdict = judge(Overlap.ALLOW_ALL, 2, runs_left=0, kind="manual")
    assert (outcomes(verdict), verdict.runs_left) == (["fired"] * 2, 0)


def test_every_reason_is_given() -> None:
    for policy in (Overlap.SKIP, Overlap.BUFFER_ONE, Overlap.CANCEL_OTHER):
        verdict = judge(policy, 3, open_tasks=("old",))
        assert all(bool(d.reason) is (d.outcome == "skipped") for d in verdict.decisions)
        assert all(bool(d.task_id) is (d.outcome == "fired") for d in verdict.decisions)
