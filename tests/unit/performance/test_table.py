"""The interval of a median of pairs."""

from __future__ import annotations

import pytest

from tests.performance.table import interval_rank, paired_ratio


@pytest.mark.parametrize(("pairs", "outside"), [(5, 0), (6, 0), (8, 0), (9, 1), (11, 1), (12, 2), (17, 4)])
def test_the_interval_is_the_sign_tests(pairs: int, outside: int) -> None:
    assert interval_rank(pairs) == outside


def test_one_outlier_does_not_widen_the_interval_of_nine_pairs() -> None:
    measured = [10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 10.7, 99.0]
    assert paired_ratio(measured, [10.0] * 9) == {
        "median": 1.04,
        "low": 1.01,
        "high": 1.07,
        "least": 1.0,
        "most": 9.9,
        "pairs": 9,
    }
