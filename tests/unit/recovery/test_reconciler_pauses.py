"""The promise of five seconds is kept by the default settings, and leaves time for the work itself."""

from __future__ import annotations

from math import ceil

from gateway.recovery.ended_lists import LONGEST_PAUSE
from gateway.recovery.engine_check import REPORT_GRACE
from gateway.recovery.reconciler import ROWLESS_EVERY
from gateway.settings import Settings

#: Of five seconds (contract-tests/task_logs/test_reconciled.py) so many may be pauses.
LONGEST = 3.0
#: The same for what a hand completed while a hundred tasks a second and more end by themselves.
LONGEST_OF_MANY = 6.0


def test_what_an_engine_ended_is_merged_in_time() -> None:
    """It ends right after it could have been listed; then it is listed, and judged when the grace is over."""
    pause = Settings.model_fields["reconcile_seconds"].default
    grace = ceil(REPORT_GRACE.total_seconds() / pause)
    assert (1 + grace) * pause <= LONGEST
    assert (ceil(LONGEST_PAUSE / pause) + grace) * pause <= LONGEST_OF_MANY


def test_a_row_that_is_gone_is_missed_in_time() -> None:
    assert ROWLESS_EVERY * Settings.model_fields["reconcile_seconds"].default <= LONGEST
