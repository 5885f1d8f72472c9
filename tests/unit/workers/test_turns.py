"""When a task is offered again whose turn has not come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from workers.graph.errors import GroupBusy
from workers.turns import FIRST, LONGEST, SPACING, Turns


class Groups:
    """Those of `busy` are; `now` counts seconds."""

    def __init__(self) -> None:
        self.busy: set[str] = set()
        self.now = 100.0
        self.turns = Turns(self.hold, clock=lambda: self.now)

    @asynccontextmanager
    async def hold(self, group_id: str) -> AsyncIterator[None]:
        if group_id in self.busy:
            raise GroupBusy
        self.busy.add(group_id)
        yield
        self.busy.discard(group_id)

    async def asked(self, group_id: str) -> float | None:
        """Seconds until it may ask again; None: it had its turn."""
        async with self.turns.taken(group_id) as pause:
            return None if pause is None else pause.total_seconds()


async def test_a_free_group_is_held_while_the_block_runs() -> None:
    groups = Groups()
    async with groups.turns.taken("g") as pause:
        assert pause is None
        assert groups.busy == {"g"}
        assert await groups.asked("other") is None
    assert not groups.busy


async def test_those_that_wait_come_back_one_after_the_other() -> None:
    groups = Groups()
    groups.busy.add("g")
    pauses = [await groups.asked("g") for _ in range(8)]
    assert pauses == [FIRST + n * SPACING for n in range(8)]
    groups.now += FIRST
    assert await groups.asked("g") == 8 * SPACING, "the first one is now behind the others"
    groups.busy.add("other")
    assert await groups.asked("other") == FIRST


async def test_however_many_there_are_each_comes_back_in_a_while() -> None:
    groups = Groups()
    groups.busy.add("g")
    pauses = [await groups.asked("g") for _ in range(1000)]
    assert pauses[-1] == LONGEST


async def test_what_is_raised_in_its_turn_ends_the_turn() -> None:
    groups = Groups()
    raised = None
    try:
        async with groups.turns.taken("g"):
            raise ValueError("x")
    except ValueError as error:
        raised = error
    assert raised is not None
