"""`Sweep`: one change of many tasks, in chunks that each take a fraction of what a statement may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import asyncpg

#: Tasks that one statement finds at most.
CHUNK: Final = 1000
#: So long are chunks taken one after the other (seconds); whoever waits for the end of a piece waits little longer.
PIECE_SECONDS: Final = 0.5


class Finder(Protocol):
    """Whatever runs a query."""

    async def fetchrow(self, query: str, *args: Any) -> asyncpg.Record | None: ...


class Sweep:
    """A statement that finds at most `$1` tasks from a place on (`$2`, …), in an order, and changes them.

    It answers a row: how many it `found` and `changed`, then the place of the last one; or none. Those that it does not
    change are so passed once, however many chunks there are. `start`: the place before all.
    """

    def __init__(self, statement: str, *start: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._statement = statement
        self._start = start
        self._place = start
        self._clock = clock

    @property
    def is_under_way(self) -> bool:
        """Whether there may be tasks after the place where the last piece ended."""
        return self._place is not self._start

    def begin_anew(self) -> None:
        """Tasks may have come before the place."""
        self._place = self._start

    async def go_on(self, db: Finder, *arguments: Any) -> int:
        """One piece. Returns how many tasks were changed. Raises `DatabaseUnavailable`."""
        until = self._clock() + PIECE_SECONDS
        changed = 0
        while True:
            row = await db.fetchrow(self._statement, CHUNK, *self._place, *arguments)
            changed += row["changed"] if row is not None else 0
            if row is None or row["found"] < CHUNK:
                self._place = self._start
                return changed
            self._place = tuple(row)[2:]
            if self._clock() >= until:
                return changed
