"""What engines list as ended, asked for as often as it takes and no oftener: most of it was reported long since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from backends.port import EndedWorkflow, WorkflowEnginePort

#: How late visibility is, mostly and at worst. Each look lists again what ended meanwhile.
VISIBILITY, LATEST_VISIBILITY = timedelta(seconds=5), timedelta(seconds=20)
#: While much ends, of what completed: everybody's own workers report that before their engine knows.
VISIBILITY_OF_MANY = timedelta(seconds=2)
#: The first look goes so far back.
FIRST = timedelta(minutes=10)
#: What an engine lists as ended, per second on average; after a longer list the next ones leave out what completed, for
#: so much time, at most this many seconds.
LISTED_PER_SECOND, LONGEST_PAUSE = 100, 5.0
#: Every so many looks go back as far as visibility can be late.
FAR_EVERY = 10


@dataclass(slots=True)
class _Place:
    """Where the lists of one engine, of all that ended or of what did not complete, go on."""

    since: datetime
    looks: int = 0

    def step(self, now: datetime, visibility: timedelta) -> None:
        """Visibility is written some time after the fact: look back a little each time, and now and then further."""
        self.looks += 1
        self.since = now - (LATEST_VISIBILITY if self.looks % FAR_EVERY == 0 else visibility)


class EndedLists:
    """Belongs to a reconciler, and to one engine."""

    def __init__(self, engine: WorkflowEnginePort) -> None:
        self._engine = engine
        self._all: _Place | None = None
        self._unsuccessful: _Place | None = None
        self._all_at = datetime.min.replace(tzinfo=UTC)

    async def look(self) -> Sequence[EndedWorkflow]:
        """What ended since the last look, and some of it once more. Raises `EngineError`."""
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
