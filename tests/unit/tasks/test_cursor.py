"""Cursors of lists of tasks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.errors import InvalidRequest
from gateway.tasks.queries.cursor import cursor_of, position_at
from gateway.tasks.queries.task_log import Position

AT = Position(datetime(2026, 1, 1, tzinfo=UTC), "x")


def test_a_cursor_is_for_its_filters_in_any_order() -> None:
    cursor = cursor_of(AT, {"type": ["a"], "labels": {"a": "1", "b": "2"}})
    assert position_at(cursor, {"labels": {"b": "2", "a": "1"}, "type": ["a"]}) == AT
    for other in ({}, {"labels": {"a": "2", "b": "1"}, "type": ["a"]}):
        with pytest.raises(InvalidRequest, match="other filters"):
            position_at(cursor, other)
