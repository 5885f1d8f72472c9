"""How often an engine is asked for what ended there, and how far back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from backends.errors import EngineUnavailable
from backends.memory.engine import MemoryEngine
from backends.port import EndedWorkflow, WorkflowState, WorkflowStatus
from gateway.recovery import ended_lists
from gateway.recovery.ended_lists import FAR_EVERY, FIRST, LATEST_VISIBILITY, VISIBILITY, VISIBILITY_OF_MANY, EndedLists

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
COMPLETED = WorkflowStatus(WorkflowState.COMPLETED)


class Clock(datetime):
    at = BEGIN

    @classmethod
    def now(cls, tz=None):
        return cls.at


class Engine(MemoryEngine):
    """Lists what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[EndedWorkflow] = []
        self.asked: list[tuple[timedelta, bool]] = []

    async def list_ended(self, since: datetime, *, completed: bool = True) -> Sequence[EndedWorkflow]:
        self.asked.append((Clock.at - since, completed))
        self.faults.before("list_ended")
        return self.ended if completed else []


@pytest.fixture
def engine(monkeypatch) -> Engine:
    Clock.at = BEGIN
    monkeypatch.setattr(ended_lists, "datetime", Clock)
    return Engine()


async def look(lists: EndedLists, seconds: float = 1.0) -> int:
    found = len(await lists.look())
    Clock.at += timedelta(seconds=seconds)
    return found


async def test_each_look_lists_all_while_little_ends(engine):
    lists = EndedLists(engine)
    for _ in range(FAR_EVERY + 1):
        await look(lists)
    second = timedelta(seconds=1)
    assert engine.asked[0] == (FIRST, True)
    assert engine.asked[1:FAR_EVERY] == [(VISIBILITY + second, True)] * (FAR_EVERY - 1)
    assert engine.asked[FAR_EVERY] == (LATEST_VISIBILITY + second, True)


async def test_while_much_ends_what_completed_is_listed_less_often(engine):
    lists = EndedLists(engine)
    engine.ended = [EndedWorkflow(f"task-{n}", COMPLETED) for n in range(1000)]
    found = [await look(lists) for _ in range(11)]
    assert found == [1000, 0, 0, 0, 0, 1000, 0, 0, 0, 0, 1000]
    assert [completed for _, completed in engine.asked].count(True) == 3
    pause = timedelta(seconds=ended_lists.LONGEST_PAUSE)
    assert engine.asked[5] == (VISIBILITY_OF_MANY + pause, True)
    assert engine.asked[1] == (VISIBILITY, False)
    assert engine.asked[2] == (VISIBILITY + timedelta(seconds=1), False)


async def test_what_is_late_in_visibility_is_found_while_much_ends(engine):
    """What did not complete keeps its far looks, however often all is listed in between."""
    lists = EndedLists(engine)
    engine.ended = [EndedWorkflow(f"task-{n}", COMPLETED) for n in range(1000)]
    for _ in range(2 * FAR_EVERY):
        await look(lists)
    others = [back for back, completed in engine.asked if not completed]
    assert max(others) > LATEST_VISIBILITY - timedelta(seconds=1)
    engine.ended = []
    for _ in range(100):
        await look(lists)
    engine.ended = [EndedWorkflow(f"task-{n}", COMPLETED) for n in range(1000)]
    await look(lists)
    await look(lists)
    assert engine.asked[-1] == (LATEST_VISIBILITY, False), "and none goes back to the crowd before"


async def test_what_was_not_listed_is_listed_the_next_time(engine):
    """An engine that is away loses nothing."""
    lists = EndedLists(engine)
    await look(lists)
    engine.faults.fail_next("list_ended", EngineUnavailable())
    with pytest.raises(EngineUnavailable):
        await look(lists)
    Clock.at += timedelta(seconds=7)
    await look(lists)
    assert engine.asked[-1] == (VISIBILITY + timedelta(seconds=8), True)
