"""Ids stand in the order of their time, and none tells another one."""

from __future__ import annotations

import uuid
from unittest.mock import patch

from gateway.submission import ids


def test_an_id_is_a_uuid_of_version_7_in_the_order_of_time() -> None:
    made = []
    for nanoseconds in (1_764_000_000_000_000_000, 1_764_000_000_001_000_000, 1_764_000_001_000_000_000):
        with patch.object(ids.time, "time_ns", return_value=nanoseconds):
            made.append(ids.new_task_id())
    assert made == sorted(made)
    for made_id in made:
        parsed = uuid.UUID(made_id)
        assert (str(parsed), parsed.version, parsed.variant) == (made_id, 7, uuid.RFC_4122)


def test_all_that_is_not_time_is_random() -> None:
    with patch.object(ids.time, "time_ns", return_value=1_764_000_000_000_000_000):
        made = [uuid.UUID(ids.new_task_id()).int for _ in range(500)]
    seen_set = seen_clear = 0
    for value in made:
        seen_set |= value
        seen_clear |= ~value & (1 << 128) - 1
    assert (seen_set & seen_clear).bit_count() == 74
    assert len(set(made)) == 500
