"""One lane per backend: its starts under way, and whether it is down. A slow backend fills its own lane only."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from backends.errors import EngineUnavailable
from backends.port import Capability, WorkflowEnginePort
from gateway.dispatch.concurrency_limit import Pace
from gateway.dispatch.fair_scheduler import Turns

log = logging.getLogger(__name__)


#: Whose new task went to a backend within this time uses it beside the crowd (seconds).
SHARED_SECONDS = 1.0
#: So many times what it takes at best a start may take while several tenants have some: on Temporal the dearest step.
START_SLOWER = 1.5


class Lane:
    """Bounds the engine starts that are under way at once; refuses quickly while the engine is down."""

    def __init__(self, engine: WorkflowEnginePort, *, concurrency: int) -> None:
        self.engine = engine
        self.pending = 0
        self._limit = concurrency * 8
        self._was_full = False
        self._used_at: dict[str, float] = {}
        self._pace = Pace(concurrency, slower=START_SLOWER)
        self._turns = Turns(self._pace, concurrency, self._rest)
        self._down_since: float | None = None

    @property
    def is_down(self) -> bool:
        return self._down_since is not None

    @property
    def down_seconds(self) -> float:
        return 0.0 if self._down_since is None else time.monotonic() - self._down_since

    @property
    def is_free(self) -> bool:
        return not self.is_down and self.pending < self._limit

    @property
    def users(self) -> set[str]:
        """Tenants whose new tasks went there lately, beside those that waited."""
        past = time.monotonic() - SHARED_SECONDS
        if self._used_at:
            self._used_at = {tenant: at for tenant, at in self._used_at.items() if at > past}
        return set(self._used_at)

    @property
    def tells_claims(self) -> bool:
        """Whether it is known what waits there for a worker: legacy workers claim nothing."""
        return Capability.FENCED in self.engine.capabilities

    def used(self, tenant_id: str | None) -> None:
        """A new task of the tenant goes there."""
        self._used_at[tenant_id or ""] = time.monotonic()

    @property
    def window(self) -> int:
        """So many starts go at once without one having to wait for another."""
        return self._pace.window

    @property
    def has_room(self) -> bool:
        """Whether it takes tasks that waited. They leave room for new ones, so that no crowd stands before those."""
        return self.pending < 2 * self._pace.window

    @asynccontextmanager
    async def slot(self, tenant_id: str | None) -> AsyncIterator[None]:
        """One start at the engine, when it is the tenant's turn."""
        self._pace.seen(tenant_id or "")
        async with self._turns.slot(tenant_id or ""):
            yield

    def _rest(self, tenant_id: str) -> float:
        """While others' new tasks come, a crowd leaves an engine to them that is slow even with one start at a time."""
        return self._pace.rest if self.users - {tenant_id} else 0.0

    def begun(self) -> None:
        """A start is to be made."""
        self.pending += 1
        self._was_full |= not self.has_room

    def took(self, seconds: float) -> None:
        """The engine took so long for a start."""
        self._pace.note(seconds, self._turns.taken)
        self._was_full |= not self.has_room

    def started(self) -> bool:
        """A start is no longer under way; True when there is room again."""
        self.pending -= 1
        was_full, self._was_full = self._was_full, not self.has_room
        return was_full and self.has_room

    def failed(self) -> None:
        """The engine could not be reached."""
        if self._down_since is None:
            self._down_since = time.monotonic()
            log.warning("backend %s is down; its tasks wait", self.engine.name)

    def worked(self) -> bool:
        """The engine answered; True when it was down before."""
        was_down, self._down_since = self._down_since is not None, None
        if was_down:
            log.warning("backend %s is back", self.engine.name)
        return was_down

    async def probe(self) -> bool:
        """Ask a down engine whether it is back; True when it just came back."""
        try:
            await self.engine.check_health()
        except EngineUnavailable:
            return False
        return self.worked()
