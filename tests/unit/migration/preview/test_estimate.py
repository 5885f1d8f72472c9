"""Estimates from a sample, with their intervals."""

from __future__ import annotations

import random

import pytest

from gateway.migration.preview.estimate import Estimate


def test_what_is_counted_has_no_interval() -> None:
    assert Estimate(counted=7).view() == {"tasks": 7, "low": 7, "high": 7}


@pytest.mark.parametrize("hits", range(0, 401, 7))  # 203 / 400 * 400 is less than 203
def test_a_sample_of_all_is_exact(hits: int) -> None:
    found = Estimate(5, drawn_from=400, drawn=400, hits=hits).view()
    assert found == {"tasks": 5 + hits, "low": 5 + hits, "high": 5 + hits}


def test_of_which_nothing_was_drawn_nothing_is_known() -> None:
    assert Estimate(drawn_from=40).view() == {"tasks": 0, "low": 0, "high": 40}


def test_no_hits_do_not_mean_none() -> None:
    found = Estimate(drawn_from=100_000, drawn=1000, hits=0)
    assert (found.tasks, found.interval[0]) == (0, 0)
    assert 300 < found.interval[1] < 400


@pytest.mark.parametrize(("share", "drawn"), [(0.01, 2000), (0.25, 500), (0.9, 9000)])
def test_the_true_number_lies_inside_95_times_of_100(share: float, drawn: int) -> None:
    chance, inside, whole = random.Random(3), 0, 10_000
    tasks = [number < share * whole for number in range(whole)]
    for _ in range(400):
        low, high = Estimate(drawn_from=whole, drawn=drawn, hits=sum(chance.sample(tasks, drawn))).interval
        inside += low <= share * whole <= high
    assert inside >= 0.93 * 400
