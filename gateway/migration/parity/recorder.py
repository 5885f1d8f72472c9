"""`Recorder`: counts what ended since it looked last. A job of the leader."""

from __future__ import annotations

from typing import Final

from gateway.migration.parity.evidence import SQL
from gateway.recovery.lease import LOCK_CLASS
from gateway.storage.database import Database
from gateway.storage.forgetting import forget

#: The advisory lock of whoever counts (process locks have keys ≥ 0; the leader's are -1 and -2).
COUNT_KEY: Final = -3
#: Runs that are counted in one statement.
BATCH: Final = 1000
#: Length of a slice (seconds).
SLICE_SECONDS: Final = 60.0
#: Pause between two looks (seconds): an outcome is visible within a second of its commit.
LOOK_SECONDS: Final = 0.5
#: A day (seconds).
DAY: Final = 86_400.0


class Recorder:
    """Counts each run and each death once, whoever else counts at the same time, and wherever the last one stopped.

    Methods raise `DatabaseUnavailable`.
    """

    def __init__(self, database: Database, *, batch: int = BATCH, slice_seconds: float = SLICE_SECONDS) -> None:
        self._db = database
        self._batch = batch
        self._slice_seconds = slice_seconds

    async def tick(self) -> int:
        """Count all that is there. Returns how many runs and deaths that was."""
        counted = 0
        while await self._db.fetchval(SQL.is_any):
            found = await self._count()
            counted += found
            if not found:  # another one has them
                break
        return counted

    async def forget(self, days: float) -> None:
        """Delete what is older: slices and gates after so many days, single outcomes after one.

        A gate that is forgotten is not made again: what it would compare is gone by then.
        """
        await forget(self._db, SQL.forget_outcomes, DAY)
        for query in (SQL.forget_slices, SQL.forget_gates):
            await forget(self._db, query, days * DAY)

    async def _count(self) -> int:
        async with self._db.transaction() as db:
            await db.execute(SQL.one_at_a_time, LOCK_CLASS, COUNT_KEY)
            row = await db.fetchrow(SQL.count, self._batch, self._slice_seconds)
        assert row is not None
        runs: int = row["runs"]
        deaths: int = row["deaths"]
        return runs + deaths
