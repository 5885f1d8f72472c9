"""What the rows say runs on Temporal, against what Temporal's visibility counts: told, and no reason for a verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from backends.errors import EngineError
from backends.port import WorkflowEnginePort
from gateway.migration.drain.backlog import SQL
from gateway.storage.database import Database

#: Longest wait for the count (seconds).
ANSWER_SECONDS = 1.0
#: Visibility is eventually consistent: a difference is told when it has stood for so long.
TOLD_AFTER = timedelta(seconds=60)


class CrossCheck:
    """`engine` None: this gateway has no Temporal, and there is nothing to compare."""

    def __init__(
        self,
        database: Database,
        engine: WorkflowEnginePort | None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._db = database
        self._engine = engine
        self._clock = clock
        self._differs_since: datetime | None = None

    async def notes(self) -> list[str]:
        """What people should know; each in one line. Raises `DatabaseUnavailable`."""
        if self._engine is None:
            return []
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                counted = await self._engine.count_open()
        except (EngineError, TimeoutError):
            return [f"{self._engine.name} does not answer: what it runs was not compared with postgresql"]
        if counted is None:
            return []
        rows = await self._db.fetchrow(SQL.on_engine, self._engine.name)
        assert rows is not None
        # What is being started may be there or not.
        if rows["started"] <= counted <= rows["started"] + rows["starting"]:
            self._differs_since = None
            return []
        now = self._clock()
        self._differs_since = self._differs_since or now
        if now - self._differs_since < TOLD_AFTER:
            return []
        return [
            f"{self._engine.name}'s visibility counts {counted} open tasks, postgresql {rows['started']},"
            f" different since {self._differs_since:%Y-%m-%d %H:%M:%SZ}: see what runs there that the gateway does not"
            " know, or the other way round (visibility lags behind, and decides nothing here)"
        ]
