"""What travels by value, and what by reference."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.temporal.payloads import LARGEST_INLINE, RESULT_ELSEWHERE, carried, carried_result

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), json_values, max_size=5), st.integers(0, 200))
def test_exactly_what_fits_travels(payload: dict[str, object], limit: int) -> None:
    fits = len(orjson.dumps(payload)) <= limit
    assert carried(payload, limit) == (payload if fits else None)


@pytest.mark.parametrize(
    "payload",
    [{"content": "x" * 10_000}, {"many": ["x" * 100] * 100}, {"content": "\ud800"}, {"number": 2**80}],
    ids=["text", "many", "surrogate", "number"],
)
def test_the_rest_is_read_from_postgresql(payload: dict[str, object]) -> None:
    assert carried(payload, 5000) is None


def test_no_setting_reaches_temporals_limit() -> None:
    assert carried({"content": "x" * (LARGEST_INLINE + 1)}, 10**9) is None


def test_results() -> None:
    assert carried_result(None) is None
    assert carried_result({"n": 1}) == {"n": 1}
    assert carried_result({"at": datetime(2026, 1, 2, tzinfo=UTC), 3: object}) is not None
    assert carried_result({"text": "x" * 2_000_000}) == RESULT_ELSEWHERE
    assert carried_result({"text": "\ud800"}) == RESULT_ELSEWHERE
