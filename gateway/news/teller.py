"""`Teller`: tells news that no trigger may tell, because it would cost each task something."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

import orjson

from gateway.errors import DatabaseUnavailable
from gateway.news.piece import Topic
from gateway.news.watch import CHANNEL, SQL
from gateway.storage.database import Database, type_Connection

log = logging.getLogger(__name__)

#: However much happens, it is told no more often than that (seconds).
PAUSE_SECONDS: Final = 0.5
#: A longer name, with which a notification might be more than PostgreSQL takes, is told to administrators alone.
_LONGEST: Final = 1000


def said(topic: Topic, tenant_id: str | None) -> str:
    """As a notification."""
    tenant = None if tenant_id is None or len(tenant_id) > _LONGEST else tenant_id
    return orjson.dumps({"topic": topic, "tenant": tenant}).decode()


async def tell(db: type_Connection, topic: Topic, tenants: Iterable[str | None]) -> None:
    """Tell it when the transaction is committed."""
    await db.execute(SQL.tell, CHANNEL, sorted({said(topic, tenant_id) for tenant_id in tenants}))


class Teller:
    """Gathers what a process tells: the first piece at once, and what follows every half a second."""

    def __init__(self, database: Database, *, pause: float = PAUSE_SECONDS) -> None:
        self._db = database
        self._pause = pause
        self._told: set[str] = set()
        self._telling: asyncio.Task[None] | None = None

    @property
    def is_telling(self) -> bool:
        """Whether something may be left to be told."""
        return self._telling is not None

    def tell(self, topic: Topic, tenant_id: str | None) -> None:
        """Call it after the commit, in the event loop."""
        self._told.add(said(topic, tenant_id))
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell(), name="news")

    async def close(self) -> None:
        """Stop; what is not told yet is not told."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    async def _tell(self) -> None:
        try:
            while self._told:
                told, self._told = sorted(self._told), set()
                try:
                    await self._db.execute(SQL.tell, CHANNEL, told)
                except DatabaseUnavailable:
                    log.warning("pages may be late to show what changed: PostgreSQL is away")
                await asyncio.sleep(self._pause)
        finally:
            self._telling = None
