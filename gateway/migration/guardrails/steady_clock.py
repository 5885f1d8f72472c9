"""The database's time for cooldowns, without its jumps."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

#: By so much the database's clock may run ahead between two looks (seconds): it is disciplined, not wrong.
SLACK_SECONDS: Final = 1.0


class SteadyClock:
    """Never runs backwards, and never faster than this host's monotonic clock: a clock that was set forward by an hour
    ends no cooldown, one that was set back makes none longer.
    """

    def __init__(self) -> None:
        self._last: tuple[datetime, float] | None = None
        self._offset = timedelta()

    def read(self, database: datetime, monotonic: float) -> datetime:
        """The time now; `monotonic` in seconds, read together with the database's."""
        if self._last is not None:
            before, then = self._last
            passed = (database - before).total_seconds()
            most = monotonic - then + SLACK_SECONDS
            if passed > most or passed < 0:
                self._offset += timedelta(seconds=monotonic - then - passed)
        self._last = database, monotonic
        return database + self._offset
