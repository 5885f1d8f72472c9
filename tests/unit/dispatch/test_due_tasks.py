"""While a lane is full, a look reads past all tasks that wait for it; one that takes long is taken less often."""

from __future__ import annotations

from typing import Any

import pytest

from backends.memory.engine import MemoryEngine
from gateway.dispatch.due_tasks import LONGEST_REST, DueTasks
from gateway.dispatch.lane import Lane
from gateway.dispatch.open_starts import SQL

LOOKS = {SQL.take_waiting: "waiting", SQL.take_in_turn: "waiting", SQL.take_repeats: "repeats", SQL.next_due: "next"}


class Rows:
    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    async def fetch(self, most: int) -> list[Any]:
        page, self._rows = self._rows[:most], self._rows[most:]
        return page


class Slow:
    """A database in which it takes a second to read past what waits for a full lane, and the clock that says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.found: list[Any] = []
        self.looks: list[str] = []

    def clock(self) -> float:
        return self.now

    async def cursor(self, query: str, rows: int, *values: Any) -> Rows:
        if LOOKS[query] != "waiting":
            return Rows([])
        self._note(query, values[0])
        return Rows(self.found[:rows])

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        return [{"id": "crowd", "may_start": True}]

    async def fetchval(self, query: str, full: list[str], ready: list[str]) -> None:
        self._note(query, full)

    def _note(self, query: str, full: list[str]) -> None:
        self.looks.append(LOOKS[query])
        self.now += bool(full)


@pytest.fixture
def lanes() -> dict[str, Lane]:
    return {name: Lane(MemoryEngine(name=name), concurrency=16) for name in ("redis", "temporal")}


@pytest.fixture
def db() -> Any:
    return Slow()


@pytest.fixture
def due(lanes: dict[str, Lane], db: Slow) -> DueTasks:
    return DueTasks(lanes, clock=db.clock)


def fill(lane: Lane) -> None:
    while lane.has_room:
        lane.begin(1)


async def test_a_look_beside_a_full_lane_is_taken_less_often(lanes: dict[str, Lane], db: Any, due: DueTasks) -> None:
    """With 100,000 tasks that wait for a full Redis, what was left for Temporal took 0.2 s of each look."""
    fill(lanes["redis"])
    await due.take(db)
    db.looks.clear()
    assert await due.take(db) == ([], False)
    assert "waiting" not in db.looks
    assert await due.next_in(db) == pytest.approx(LONGEST_REST), "nobody asks meanwhile when the next one is due"
    assert "next" not in db.looks
    db.now += LONGEST_REST
    await due.take(db)
    assert "waiting" in db.looks


async def test_a_lane_that_has_room_again_is_looked_for_at_once(lanes: dict[str, Lane], db: Any, due: DueTasks) -> None:
    fill(lanes["redis"])
    await due.take(db)
    db.looks.clear()
    while not lanes["redis"].has_room:
        lanes["redis"].end(1)
    db.found = [{"payload": "", "backend": "redis"}] * 200
    assert (await due.take(db))[0]
    fill(lanes["redis"])
    assert await due.take(db) == ([], False), "that it found enough says nothing of a look beside it"


async def test_a_look_that_finds_enough_is_followed_by_the_next(lanes: dict[str, Lane], db: Any, due: DueTasks) -> None:
    """However long it took: it was what the other lane waits for."""
    fill(lanes["redis"])
    db.found = [{"payload": "", "backend": "temporal"}] * 200
    rows, is_more = await due.take(db)
    assert rows
    assert is_more
    db.looks.clear()
    await due.take(db)
    assert "waiting" in db.looks
