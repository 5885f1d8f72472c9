"""One lane per backend: the starts on their way to it. A slow backend fills its own lane only."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from backends.port import Capability, WorkflowEnginePort
from gateway.dispatch.circuit_breaker import CircuitBreaker
from gateway.dispatch.fair_scheduler import FairScheduler
from gateway.pacing.concurrency_limit import ALONE_TOLERANCE, ConcurrencyLimit
from gateway.pacing.recent_tenants import RecentTenants

#: Tolerance (times the baseline) while several tenants have starts.
SHARED_TOLERANCE = 1.5
#: How long after its last start a tenant counts as sharing a backend (seconds).
SHARED_SECONDS = 5.0
#: How long after its last new task a tenant counts as submitting (seconds).
SUBMITTING_SECONDS = 1.0
#: New tasks in the lane for each start that may be under way; further ones wait in PostgreSQL.
NEW_PER_START = 8
#: Payloads of a lane hold no more than this (bytes of JSON); it takes one more while they hold less.
MOST_BYTES = 32 * 1024 * 1024


class Lane:
    """Starts under way, bounded by an adaptive limit, in which tenants take turns; knows whether its engine is down."""

    def __init__(self, engine: WorkflowEnginePort, *, concurrency: int) -> None:
        self.engine = engine
        self.health = CircuitBreaker(engine.name)
        self.submitting = RecentTenants(SUBMITTING_SECONDS)
        self.pending = 0
        self._bytes = 0
        self._most_pending = concurrency * NEW_PER_START
        self._was_full = False
        self._tenants = RecentTenants(SHARED_SECONDS)
        self._limit = ConcurrencyLimit(concurrency)
        self._scheduler = FairScheduler(lambda: self._limit.current, concurrency, self._rest)

    @property
    def is_down(self) -> bool:
        return self.health.is_down

    @property
    def is_free(self) -> bool:
        """Whether it takes new tasks."""
        return not self.is_down and self.pending < self._most_pending and self._bytes < MOST_BYTES

    @property
    def limit(self) -> int:
        """How many starts may go at once."""
        return self._limit.current

    @property
    def has_room(self) -> bool:
        """Whether it takes waiting tasks. They leave room for new tasks, so that a crowd does not delay those."""
        return self.pending < 2 * self._limit.current and self._bytes < MOST_BYTES

    @property
    def batch(self) -> int:
        """How many waiting tasks it takes at a time, while it has room."""
        return 2 * self._limit.current

    def takes_one_more(self, planned: int) -> bool:
        """Whether it takes a waiting task in addition to the `planned` ones that are about to begin."""
        return self.has_room and planned < self.batch

    @property
    def knows_claims(self) -> bool:
        """Whether the number of tasks that wait there for a worker is known; legacy workers do not claim."""
        return Capability.FENCED in self.engine.capabilities

    def begin(self, size: int) -> None:
        """A start is to be made, whose payload has about so many bytes."""
        self.pending += 1
        self._bytes += size
        self._was_full |= not self.has_room

    def end(self, size: int) -> bool:
        """Such a start is no longer under way; True when there is room again."""
        self.pending -= 1
        self._bytes -= size
        was_full, self._was_full = self._was_full, not self.has_room
        return was_full and self.has_room

    @asynccontextmanager
    async def slot(self, tenant_id: str | None) -> AsyncIterator[None]:
        """One start at the engine, when it is the tenant's turn. Its time adjusts the limit."""
        if self._tenants.note(tenant_id):
            self._limit.narrow(SHARED_TOLERANCE)
        async with self._scheduler.slot(tenant_id or ""):
            asked = time.monotonic()
            yield
            tolerance = SHARED_TOLERANCE if self._tenants.are_several else ALONE_TOLERANCE
            self._limit.answered(time.monotonic() - asked, self._scheduler.taken, tolerance)
            self.health.worked()
            self._was_full |= not self.has_room

    def failed(self) -> None:
        """The engine was not reached, or has no room."""
        if self.health.failed():
            self._limit.refused()

    def _rest(self, tenant: str) -> float:
        """The pause of a crowd after a start while others have new tasks, if even one start at a time is too slow."""
        return self._limit.rest if self.submitting.names - {tenant} else 0.0
