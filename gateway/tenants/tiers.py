"""Moves waiting tasks to the queues of their tenant's tier after a change, also one by MemStack."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

from backends.temporal import names
from gateway.access.placement import Tier
from gateway.errors import DatabaseUnavailable
from gateway.fleet.pools import OWN_QUEUES
from gateway.storage.database import Database
from gateway.storage.queries import Queries

log = logging.getLogger(__name__)
SQL = Queries("gateway.tenants", "tenants.sql")

LOOK_SECONDS: Final = 1.0
#: How long after a change the tenant's queues are checked (seconds).
SETTLE_SECONDS: Final = 30.0
#: Tasks that one statement moves.
CHUNK: Final = 500


class TierMover:
    """Runs in every gateway; two at once share the work.

    `backends` are those whose workers all claim before they run: what nobody claimed there certainly does not run.
    """

    def __init__(
        self,
        database: Database,
        backends: Sequence[str],
        *,
        wake_dispatcher: Callable[[], None],
        cancel_soon: Callable[[], None],
    ) -> None:
        self._db = database
        self._backends = list(backends)
        self._wake_dispatcher = wake_dispatcher
        self._cancel_soon = cancel_soon
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """A tier was changed here."""
        self._wanted.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with contextlib.suppress(DatabaseUnavailable):
                await self.tick()
            # `wait_for` would lose a cancellation that comes together with a wake-up (Python 3.11).
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wanted.wait()
            self._wanted.clear()

    async def tick(self) -> int:
        """Move tasks that wait in a wrong queue. Returns how many. Raises `DatabaseUnavailable`."""
        await self._db.execute(SQL.note_plans)
        changed = await self._db.fetch(SQL.changed_lately, SETTLE_SECONDS)
        if not changed or not self._backends:
            return 0
        own = [row["tenant_id"] for row in changed if Tier.of_plan(row["plan"]) in OWN_QUEUES]
        shared = [row["tenant_id"] for row in changed if Tier.of_plan(row["plan"]) not in OWN_QUEUES]
        total = 0
        while True:
            tag = await self._db.execute(SQL.move, own, shared, self._backends, CHUNK, names.UNREGISTERED_QUEUE)
            moved = int(tag.rsplit(" ", 1)[-1])
            total += moved
            if moved:
                self._wake_dispatcher()
                self._cancel_soon()
            if moved < CHUNK:
                break
        if total:
            log.info("%d waiting tasks were moved to the queues of their tenants' tiers", total)
        return total
