"""Temporal's own count beside the rows: told when it differs for long, and never a verdict."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backends.errors import EngineUnavailable
from backends.memory.engine import MemoryEngine
from gateway.migration.drain import cross_check
from gateway.migration.drain.cross_check import CrossCheck
from gateway.migration.drain.verdict import DrainVerdict
from gateway.storage.database import Database


class Counting(MemoryEngine):
    """Says what the test says."""

    def __init__(self) -> None:
        super().__init__(name="temporal")
        self.open: int | None = 0
        self.trouble = ""

    async def count_open(self) -> int | None:
        if self.trouble == "away":
            raise EngineUnavailable
        if self.trouble == "hangs":
            await asyncio.Event().wait()
        return self.open


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def engine() -> Counting:
    return Counting()


async def test_a_difference_is_told_when_it_has_stood_for_long(
    database: Database, people: None, engine: Counting, add: Any
) -> None:
    clock = Clock()
    check = CrossCheck(database, engine, clock=clock)
    await add("t1", state="'running'", backend="'temporal'")
    await add("t2", state="'queued'", backend="'temporal'")
    await add("t3", state="'starting'", backend="'temporal'")
    await add("t4", state="'queued'")
    for engine.open in (2, 3):
        assert await check.notes() == []
    engine.open = 1
    assert await check.notes() == []
    clock.now += timedelta(seconds=61)
    [note] = await check.notes()
    assert note.startswith(
        "temporal's visibility counts 1 open tasks, postgresql 2, different since 2026-11-20 12:00:00Z"
    )
    engine.open = 2
    assert await check.notes() == []
    engine.open = 4
    assert await check.notes() == []  # since now, not since then


@pytest.mark.parametrize("trouble", ["away", "hangs"])
async def test_temporal_away_is_said_and_changes_no_verdict(
    new_drain: Any, redis: Any, engine: Counting, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_check, "ANSWER_SECONDS", 0.1)
    engine.trouble = trouble
    report = await new_drain(temporal=engine).report()
    assert report.notes == ["temporal does not answer: what it runs was not compared with postgresql"]
    assert report.left.verdict is DrainVerdict.SAFE


async def test_a_difference_changes_no_verdict(
    new_drain: Any, redis: Any, engine: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_check, "TOLD_AFTER", timedelta(0))
    engine.open = 7
    report = await new_drain(temporal=engine).report()
    assert [note.split(",")[0] for note in report.notes] == ["temporal's visibility counts 7 open tasks"]
    assert report.left.verdict is DrainVerdict.SAFE


async def test_an_engine_that_counts_nothing_is_not_compared(
    database: Database, people: None, engine: Counting
) -> None:
    engine.open = None
    assert await CrossCheck(database, engine).notes() == []
    assert await CrossCheck(database, None).notes() == []
