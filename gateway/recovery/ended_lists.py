"""Reads what engines list as ended, as seldom as possible, because most of it was reported long before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from backends.port import EndedWorkflow, WorkflowEnginePort

#: How late visibility usually is, and at worst. Each look goes back by this time.
VISIBILITY, LATEST_VISIBILITY = timedelta(seconds=5), timedelta(seconds=20)
#: The same for completed tasks while many end, because workers report those before the engine knows.
VISIBILITY_OF_MANY = timedelta(seconds=2)
#: How far the first look goes back.
FIRST = timedelta(minutes=10)
#: Highest average number of listed ends per second. After a longer list, completed tasks are left out until the average
#: is reached, but at most for so many seconds.
LISTED_PER_SECOND, LONGEST_PAUSE = 100, 5.0
#: One of so many looks goes back as far as visibility can be late.
FAR_EVERY = 10


@dataclass(slots=True)
class _Place:
    """Where the next list of one engine begins: of all ends, or of those that did not complete."""

    since: datetime
    looks: int = 0

    def step(self, now: datetime, visibility: timedelta) -> None:
        """The time from which to list. Visibility is late, so each look goes back a little, some further."""
        self.looks += 1
        self.since = now - (LATEST_VISIBILITY if self.looks % FAR_EVERY == 0 else visibility)


class EndedLists:
    """The lists of one engine."""

    def __init__(self, engine: WorkflowEnginePort) -> None:
        self._engine = engine
        self._all: _Place | None = None
        self._unsuccessful: _Place | None = None
        self._all_at = datetime.min.replace(tzinfo=UTC)

    async def look(self) -> Sequence[EndedWorkflow]:
        """The tasks that ended since the last look; some may be listed again. Raises `EngineError`."""
        now = datetime.now(UTC)
        if now < self._all_at:
            place = self._unsuccessful = self._unsuccessful or _Place(now - VISIBILITY)
            ended = await self._engine.list_ended(max(place.since, now - LATEST_VISIBILITY), completed=False)
            place.step(now, VISIBILITY)
            return ended
        place = self._all = self._all or _Place(now - FIRST)
        ended = await self._engine.list_ended(place.since)
        pause = min(len(ended) / LISTED_PER_SECOND, LONGEST_PAUSE)
        is_long = pause >= 1
        place.step(now, VISIBILITY_OF_MANY if is_long else VISIBILITY)
        if is_long:
            self._all_at = now + timedelta(seconds=pause)
        return ended
