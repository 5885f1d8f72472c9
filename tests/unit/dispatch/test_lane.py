"""What a lane takes: by the number of its starts, and by what their payloads hold."""

from __future__ import annotations

from backends.memory.engine import MemoryEngine
from gateway.dispatch.lane import MOST_BYTES, Lane
from gateway.tasks.payload import size_of


def test_large_payloads_fill_a_lane() -> None:
    lane = Lane(MemoryEngine(), concurrency=16)
    lane.begin(MOST_BYTES - 1)
    assert (lane.has_room, lane.is_free) == (True, True)
    lane.begin(10)
    assert (lane.has_room, lane.is_free) == (False, False)
    assert lane.end(10)
    assert (lane.has_room, lane.is_free) == (True, True)


def test_sizes_are_those_of_the_text_about() -> None:
    assert size_of({"text": "x" * 1000}) == 1008
    assert size_of({"list": [{"a": "x" * 100}] * 10}) in range(1000, 1300)
    assert size_of([1] * 1000) in range(1000, 10_000)
