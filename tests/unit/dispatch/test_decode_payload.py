"""No row, however odd its payload, may stand in the way of the others."""

from __future__ import annotations

import pytest

from gateway.tasks.payload import decode_payload


@pytest.mark.parametrize("text", [None, "", "null", "[1]", '"text"', "17", "[" * 100_000 + "]" * 100_000])
def test_what_is_no_object_counts_as_empty(text: str | None) -> None:
    assert decode_payload(text) == {}


def test_the_wires_own_keys_are_left_out() -> None:
    assert decode_payload('{"task_id": "x", "task_type": "t", "timestamp": 1, "content": "c"}') == {"content": "c"}


@pytest.mark.parametrize("number", [2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 123456789012345678901234567890])
def test_an_integer_stays_what_it_is(number: int) -> None:
    content = decode_payload(f'{{"content": {number}, "name": "Ü"}}')["content"]
    assert (content, type(content)) == (number, int)


@pytest.mark.parametrize("value", ['"\\ud800"', "123456789012345678901234567890", "1e400"])
def test_what_legacy_json_may_hold_is_read(value: str) -> None:
    assert "content" in decode_payload(f'{{"content": {value}}}')
