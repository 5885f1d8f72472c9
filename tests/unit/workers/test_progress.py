"""What a handler may report of itself, and what becomes of it."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from workers.progress import percent_of, text_of


class Wordless:
    def __str__(self) -> str:
        raise ValueError

    def __float__(self) -> float:
        raise RuntimeError


@pytest.mark.parametrize(
    ("reported", "shown"),
    [
        *((None, None), (0, 0), (42, 42), (99.9, 99), ("50", 50), (Decimal("12.5"), 12), (True, 1)),
        *((150, 100), (-5, 0), (10**12, 100), (-(10**400), 0), (10**400, 100), (math.inf, 100), (-math.inf, 0)),
        *((math.nan, None), ("half", None), ([], None), (Wordless(), None)),
    ],
)
def test_progress_is_a_number_between_0_and_100(reported: object, shown: int | None) -> None:
    assert percent_of(reported) == shown


@pytest.mark.parametrize(("reported", "shown"), [(None, None), ("x", "x"), (7, "7"), (Wordless(), "Wordless")])
def test_a_message_is_a_text(reported: object, shown: str | None) -> None:
    assert text_of(reported) == shown
