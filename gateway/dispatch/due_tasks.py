"""Which due tasks are looked at next: by their time, and tenants in turn while there are more than one look takes."""

from __future__ import annotations

import time
from collections.abc import Mapping

import asyncpg

from gateway.dispatch.lane import Lane
from gateway.dispatch.starter import SQL
from gateway.storage.database import type_Connection

#: Rows of one look, at least and at most. While lanes are slow few are taken at once: a long look is waited for, too.
FEWEST, MOST = 8, 100
#: Rows of a look while somebody's new tasks come: those wait for it at each of their steps.
FEWEST_SHARED = 4
#: Rows of a look while a lane is full: most of a crowd turns out to wait for it, which is written down once for each.
FEWEST_BESIDE = 32
#: Between two looks by time while there is a crowd (seconds): for starts that nobody confirmed, and to see its end.
BY_TIME_SECONDS = 2.0


class DueTasks:
    """Belongs to a dispatcher."""

    def __init__(self, lanes: Mapping[str, Lane]) -> None:
        self._lanes = lanes
        self._is_crowded = False
        self._by_time_at = 0.0
        self._last_tenant = ""

    @property
    def passed_over(self) -> list[str]:
        """Backends with so many starts under way that what waits for them is left where it is."""
        return [name for name, lane in self._lanes.items() if not lane.has_room]

    @property
    def is_shared(self) -> bool:
        """Whether somebody's new tasks come meanwhile."""
        return any(lane.users for lane in self._lanes.values())

    async def take(self, db: type_Connection) -> tuple[list[asyncpg.Record], bool]:
        """Some due tasks, locked; and whether there may be more."""
        passed_over = self.passed_over
        if self._lanes and len(passed_over) == len(self._lanes):
            return [], False  # whoever ends a start looks again
        windows = [lane.window for name, lane in self._lanes.items() if name not in passed_over] or [MOST]
        # There a crowd's tasks wait here rather than before the workers, which have a poll left for whoever comes.
        shared = {name: lane.users for name, lane in self._lanes.items() if lane.tells_claims and lane.users}
        window = min(windows)
        if shared:
            most = max(window, 2)
        elif self.is_shared:
            most = FEWEST_SHARED
        else:  # too many for one lane do no harm
            most = max(2 * max(windows), FEWEST_BESIDE if passed_over else FEWEST)
        most = min(most, MOST)
        now = time.monotonic()
        if not self._is_crowded or now >= self._by_time_at:
            rows = await db.fetch(SQL.take_due, most, passed_over)
            self._is_crowded = len(rows) == most
            self._by_time_at = now + BY_TIME_SECONDS
            return rows, self._is_crowded
        users = set().union(*shared.values())
        alone = next(iter(users)) if len(users) == 1 else ""
        began, self._last_tenant = self._last_tenant, ""
        rows = await db.fetch(SQL.take_turns, most, passed_over, began, list(shared), window, alone)
        if rows:
            self._last_tenant = rows[0]["upto"]
        return rows, bool(rows or began)
