"""Verdicts, and the words that come with them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.migration.parity.eprocess import Rate, still_needed, upper_bound
from gateway.migration.parity.evidence import Counts
from gateway.migration.parity.histogram import Histogram, bucket_of
from gateway.migration.parity.judgement import NOTHING, Judgement, ParityVerdict, Sides, judge, worst


def counts(tasks: int, failed: int = 0, *, dead: int = 0, seconds: float = 1.0, slow: int = 0) -> Counts:
    """So many tasks of which so many failed at first; `slow` of them ran ten times as long."""
    run = [0] * 108
    run[bucket_of(seconds)] += tasks - dead - slow
    run[bucket_of(seconds * 10)] += slow
    return Counts(
        ended=tasks + failed, first=tasks, failed=failed, over=tasks, retried=failed, dead=dead, run=Histogram(run)
    )


def verdict(before: Counts, since: Counts, *, recounts: int = 0, **more: Any) -> Judgement:
    sides = Sides("add_episode", before, since, **more)
    return judge(sides, tenant_id="acme", old="redis", new="temporal", task_types=1, recounts=recounts)


GOOD = counts(1000, 10)


def test_as_good_passes() -> None:
    judgement = verdict(GOOD, counts(1000, 12))
    assert judgement.verdict is ParityVerdict.PASS
    assert judgement.reasons == [
        "add_episode: as good on temporal as on redis: 12 of 1,000 (1.2%) failed at their first run, "
        "10 of 1,000 (1.0%) before"
    ]


def test_half_failing_is_a_regression_after_a_dozen() -> None:
    judgement = verdict(GOOD, counts(12, 6))
    assert judgement.verdict is ParityVerdict.REGRESS
    assert judgement.reasons[0] == (
        "add_episode: 6 of 12 (50.0%) failed at their first run on temporal, 10 of 1,000 (1.0%) on redis before, which "
        "is no chance: see taskgate dead-letter list --tenant acme, and take it back with taskgate flags set "
        '--tenant acme --stage off --why "…"'
    )


def test_slow_runs_are_a_regression() -> None:
    judgement = verdict(GOOD, counts(60, slow=40))
    assert judgement.verdict is ParityVerdict.REGRESS
    assert "40 of 60 (66.7%) ran slower than nine of ten did before" in judgement.reasons[0]


def test_slower_within_the_tolerance_is_none() -> None:
    assert verdict(GOOD, counts(1000, 10, seconds=1.2)).verdict is ParityVerdict.PASS


def test_slower_by_what_nobody_notices_is_none() -> None:
    quick = counts(1000, 10, seconds=0.015)
    assert verdict(quick, counts(1000, 10, seconds=0.08)).verdict is ParityVerdict.PASS
    assert verdict(quick, counts(1000, 10, seconds=0.3)).verdict is ParityVerdict.REGRESS


def test_too_few_hold_and_say_how_many_more() -> None:
    judgement = verdict(GOOD, counts(40))
    assert judgement.verdict is ParityVerdict.INCONCLUSIVE
    more = still_needed(Rate(40, 0), 0.05)
    assert more is not None
    assert more > 20
    assert judgement.reasons == [
        f"add_episode: nothing is worse on temporal so far; about {more} more tasks are needed to say so"
    ]


def test_a_recount_asks_for_more_to_pass_and_to_call_it_worse() -> None:
    few, bad = counts(130), counts(11, 5)
    assert verdict(GOOD, few).verdict is ParityVerdict.PASS
    assert verdict(GOOD, bad).verdict is ParityVerdict.REGRESS
    judgement = verdict(GOOD, few, recounts=1)
    assert judgement.verdict is ParityVerdict.INCONCLUSIVE
    more = still_needed(Rate(130, 0), 0.05, doubt=0.0025)
    assert more is not None
    assert judgement.reasons[0].endswith(f"about {more} more tasks are needed to say so")
    assert verdict(GOOD, counts(130 + more), recounts=1).verdict is ParityVerdict.PASS
    assert verdict(GOOD, bad, recounts=2).verdict is not ParityVerdict.REGRESS
    assert verdict(GOOD, counts(24, 12), recounts=2).verdict is ParityVerdict.REGRESS


def test_more_than_pass_but_too_few_to_be_sure_hold() -> None:
    judgement = verdict(counts(100, 2), counts(60, 6))
    assert judgement.verdict is ParityVerdict.INCONCLUSIVE
    assert "more than the 7% that pass, and too few to call it worse; hold, and look why" in judgement.reasons[0]


def test_nothing_on_the_new_engine_is_no_data() -> None:
    judgement = verdict(GOOD, NOTHING)
    assert (judgement.verdict, judgement.reasons) == (
        ParityVerdict.NO_DATA,
        ["add_episode: nothing has ended on temporal yet; send a task, or wait"],
    )


def test_a_type_seen_for_the_first_time_is_no_data() -> None:
    judgement = verdict(NOTHING, counts(500))
    assert judgement.verdict is ParityVerdict.NO_DATA
    assert "seen for the first time" in judgement.reasons[0]


def test_a_small_baseline_holds() -> None:
    judgement = verdict(counts(29), counts(500, 400))
    assert judgement.verdict is ParityVerdict.INCONCLUSIVE
    assert "only 29 tasks ended on redis before the move, 30 are needed" in judgement.reasons[0]


def test_a_baseline_that_is_broken_itself_never_passes() -> None:
    judgement = verdict(counts(200, 120, dead=100), counts(1000, 1))
    assert judgement.verdict is ParityVerdict.INCONCLUSIVE
    assert "the baseline is broken itself, 120 of 200 (60.0%) failed on redis before the move" in judgement.reasons[0]


def test_an_incident_of_everybody_is_no_regression() -> None:
    judgement = verdict(GOOD, counts(40, 20), others_before=counts(5000, 50), others_since=counts(800, 380))
    assert judgement.verdict is ParityVerdict.INCONCLUSIVE
    assert "tenants that stayed on redis became worse, too: look for what they share" in judgement.reasons[0]


def test_a_small_rise_of_others_excuses_nothing() -> None:
    judgement = verdict(GOOD, counts(40, 20), others_before=counts(5000, 50), others_since=counts(8000, 400))
    assert judgement.verdict is ParityVerdict.REGRESS


def test_a_baseline_that_differs_from_itself_proves_nothing() -> None:
    judgement = verdict(counts(1000, 10), counts(20, 10), halves=(counts(500, 0), counts(50, 10)))
    assert judgement.verdict is ParityVerdict.INCONCLUSIVE
    assert "redis differs from itself as much, minute by minute" in judgement.reasons[0]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], ParityVerdict.NO_DATA),
        ([ParityVerdict.PASS, ParityVerdict.PASS], ParityVerdict.PASS),
        ([ParityVerdict.PASS, ParityVerdict.NO_DATA], ParityVerdict.NO_DATA),
        ([ParityVerdict.NO_DATA, ParityVerdict.INCONCLUSIVE, ParityVerdict.PASS], ParityVerdict.INCONCLUSIVE),
        ([ParityVerdict.INCONCLUSIVE, ParityVerdict.REGRESS], ParityVerdict.REGRESS),
    ],
)
def test_all_types_decide_together(verdicts: list[ParityVerdict], expected: ParityVerdict) -> None:
    assert worst(verdicts) is expected


def test_the_upper_bound_comes_down_to_what_was_seen() -> None:
    assert upper_bound(Rate()) == 1
    assert upper_bound(Rate(10, 10)) == 1
    bounds = [upper_bound(Rate(asked, asked // 50)) for asked in (50, 500, 50_000)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == pytest.approx(0.02, abs=0.003)
    assert still_needed(Rate(100, 10), 0.05) is None
