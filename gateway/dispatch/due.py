"""Which due tasks are looked at next: by their time, and tenants in turn while there are more than one look takes."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from gateway.db import type_Connection
from gateway.dispatch.lane import Lane
from gateway.dispatch.starter import SQL

#: Rows of one look, at least and at most. While lanes are slow few are taken at once: a long look is waited for, too.
FEWEST, MOST = 8, 100
#: Looks by turns, before it is asked again whether there are still more tasks than one look takes.
TURNS = 16


class DueTasks:
    """Belongs to a dispatcher."""

    def __init__(self, lanes: Mapping[str, Lane]) -> None:
        self._lanes = lanes
        self._turns_left = 0
        self._last_tenant = ""

    @property
    def passed_over(self) -> list[str]:
        """Backends with so many starts under way that what waits for them is left where it is."""
        return [name for name, lane in self._lanes.items() if not lane.has_room]

    async def take(self, db: type_Connection) -> tuple[list[asyncpg.Record], bool]:
        """Some due tasks, locked; and whether there may be more."""
        passed_over = self.passed_over
        windows = [lane.window for name, lane in self._lanes.items() if name not in passed_over]
        most = min(max(2 * min(windows, default=MOST), FEWEST), MOST)
        if self._turns_left == 0:
            rows = await db.fetch(SQL.take_due, most, passed_over)
            is_crowded = len(rows) == most
            self._turns_left = TURNS if is_crowded else 0
            return rows, is_crowded
        rows = await db.fetch(SQL.take_turns, most, passed_over, self._last_tenant)
        self._turns_left = self._turns_left - 1 if rows else 0
        self._last_tenant = rows[0]["upto"] if rows else ""
        return rows, True
