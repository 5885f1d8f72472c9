"""How a row shows its duration (contract §2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.tasks.queries.task_row import TaskRow

START = datetime(2026, 1, 2, tzinfo=UTC)


def row(started: datetime | None, completed: datetime | None) -> TaskRow:
    empty = dict.fromkeys(("error_message", "worker_id", "result", "message", "entity_id", "entity_type"))
    return TaskRow("i", "t", "COMPLETED", START, started, completed, retry_count=0, progress=0, **empty)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0ms"), (0.0004, "0ms"), (0.85, "850ms"), (0.9999, "999ms"), (1, "1.0s"), (1.24, "1.2s"), (7322, "7322.0s")],
)
def test_duration(seconds: float, shown: str) -> None:
    assert row(START, START + timedelta(seconds=seconds)).duration == shown


def test_no_duration_before_the_end() -> None:
    assert row(None, None).duration == row(START, None).duration == row(None, START).duration == "-"


def test_clocks_that_disagree() -> None:
    assert row(START, START - timedelta(seconds=3)).duration == "0ms"
