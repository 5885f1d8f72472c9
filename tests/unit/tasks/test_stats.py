"""How often counts are counted."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from gateway.access.placement import Caller
from gateway.errors import DatabaseUnavailable
from gateway.tasks.queries.shared_counts import SLOW, SharedCounts
from gateway.tasks.queries.stats import TaskStatistics
from workers.testing.waiting import eventually, until


class CountedDatabase:
    """Answers with a number of completed tasks; can be held up, and can be away."""

    def __init__(self) -> None:
        self.asked = 0
        self.tasks = 1
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, query: str, *args: Any) -> list[dict[str, Any]]:
        self.asked += 1
        await self.gate.wait()
        if self.away:
            raise DatabaseUnavailable
        return [{"status": "COMPLETED", "tasks": self.tasks, "recent": 0, "created": 0, "completed": None}]


ADMIN = Caller("root", "key", True, frozenset())
ANN = Caller("ann", "key", False, frozenset({"acme"}))


@pytest.fixture
def database() -> CountedDatabase:
    return CountedDatabase()


def statistics(database: CountedDatabase, **options: Any) -> TaskStatistics:
    return TaskStatistics(database, **options)  # type: ignore[arg-type]


async def test_few_tasks_are_always_counted_anew(database: CountedDatabase) -> None:
    stats = statistics(database)
    assert (await stats.stats(ADMIN)).total == 1
    database.tasks = 2
    assert (await stats.stats(ADMIN)).total == 2
    assert [point.depth for point in await stats.queue_depth(ADMIN)] == [2] * 9


async def test_many_tasks_are_remembered_for_a_moment(database: CountedDatabase) -> None:
    stats = statistics(database, longest_age=3600)
    database.tasks = 5000
    database.gate.clear()
    asking = asyncio.ensure_future(stats.stats(ADMIN))
    asyncio.get_running_loop().call_later(0.2, database.gate.set)  # kept for 2 s then
    assert (await asking).total == 5000
    asked = database.asked
    assert (await stats.stats(ADMIN)).total == 5000
    assert database.asked == asked
    assert (await stats.stats(ANN)).total == 5000
    assert database.asked == 2 * asked


async def test_who_asks_at_the_same_time_shares_the_answer(database: CountedDatabase) -> None:
    stats = statistics(database)
    database.gate.clear()
    asking = [asyncio.ensure_future(stats.stats(ADMIN)) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()
    database.gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert {answer.total for answer in answers[1:] if not isinstance(answer, BaseException)} == {1}
    assert database.asked == 3


async def test_a_failure_is_everybodys_and_is_not_remembered(database: CountedDatabase) -> None:
    stats = statistics(database)
    database.away = True
    answers = await asyncio.gather(*(stats.queue_depth(ADMIN) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(answer, DatabaseUnavailable) for answer in answers)
    database.away = False
    assert len(await stats.queue_depth(ADMIN)) == 9


async def test_nobody_has_no_tasks_and_asks_nothing(database: CountedDatabase) -> None:
    stats = statistics(database)
    nobody = Caller("x", "key", False, frozenset())
    assert (await stats.stats(nobody)).total == 0
    assert sum((await stats.status_breakdown(nobody)).values()) == 0
    assert database.asked == 0


async def test_who_asks_for_many_again_does_not_wait(database: CountedDatabase) -> None:
    stats = statistics(database, longest_age=0)
    database.tasks = 5000
    assert (await stats.stats(ADMIN)).total == 5000
    database.tasks = 6000
    database.gate.clear()
    assert (await stats.stats(ADMIN)).total == 5000
    database.gate.set()
    await eventually(lambda: stats.stats(ADMIN), lambda found: found.total == 6000, within=5, pause=0)
    impatient = statistics(database, longest_age=0, stale=0)
    database.tasks = 7000
    assert [(await impatient.stats(ADMIN)).total for _ in range(2)] == [7000, 7000]
    database.tasks = 8000
    assert (await impatient.stats(ADMIN)).total == 8000


async def test_who_asks_now_and_then_does_not_wait_either(
    database: CountedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SharedCounts, "_SHARE", math.inf)  # on a busy machine each count may seem to cost much
    database.tasks = 5000
    warm = statistics(database, longest_age=0, stale=0.05, warm=3600)
    await warm.queue_depth(ADMIN)
    await until(lambda: database.asked >= 4)  # nobody asks, and it is counted all the same
    warm.close()
    assert not warm._shared._timers
    cold = statistics(database, longest_age=0, stale=0.05, warm=0)
    await cold.queue_depth(ADMIN)
    assert not cold._shared._timers


def hold_up(database: CountedDatabase, seconds: float) -> None:
    """The next count takes so long."""
    database.gate.clear()
    asyncio.get_running_loop().call_later(seconds, database.gate.set)


LONG = 2 * SLOW


async def test_few_whose_count_takes_long_are_remembered_for_a_moment(database: CountedDatabase) -> None:
    """Of a small tenant beside a flood: the ends of all tasks are read to find its own."""
    stats = statistics(database)
    for _ in range(2):
        hold_up(database, LONG)
        assert (await stats.stats(ANN)).total == 1
    database.tasks = 2
    assert (await stats.stats(ANN)).total == 1
    assert database.asked == 6
    # For ten times as long as it took, and not a moment longer: whoever asks then waits for a new count.
    stale = statistics(database, longest_age=0)
    for tasks in (3, 4, 5):
        database.tasks = tasks
        hold_up(database, LONG)
        assert (await stale.stats(ANN)).total == tasks


async def test_few_whose_count_took_long_once_are_not(database: CountedDatabase) -> None:
    """The machine was busy."""
    stats = statistics(database)
    for tasks in (1, 2, 3):
        for seconds in (LONG, 0):
            database.tasks = tasks
            hold_up(database, seconds)
            assert (await stats.stats(ANN)).total == tasks
