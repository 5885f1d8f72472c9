"""What ended on Temporal since each tenant's guardrail was armed, and what that is compared with."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.migration.guardrails.baseline import Run, baselines_of
from gateway.migration.guardrails.comparison import LEAST_RECENT
from gateway.migration.guardrails.comparison_window import ComparisonWindow
from gateway.migration.guardrails.decision import Assessment
from gateway.migration.guardrails.guard import Guard
from gateway.migration.guardrails.store import SQL
from gateway.migration.parity.eprocess import Rate
from gateway.migration.parity.evidence import Evidence, Outcome
from gateway.migration.parity.parity import WINDOW
from gateway.routing.stages import REDIS, TEMPORAL
from gateway.storage.database import Database

#: What "a minute" means in limits (seconds).
MINUTE: Final = 60.0
#: So long "now" is, when other tenants are looked at.
BESIDE: Final = timedelta(minutes=5)


class Counting:
    """Follows the outcomes. Methods raise `DatabaseUnavailable`."""

    def __init__(self, evidence: Evidence, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._evidence = evidence
        self._monotonic = monotonic
        self._since: dict[str, ComparisonWindow] = {}
        self._minute: deque[tuple[float, str, bool, bool]] = deque()
        self.cursor = 0

    async def begin(self, db: Database, guards: Iterable[Guard]) -> None:
        """Take up what was counted, at most a minute before now."""
        self._since.clear()
        self._minute.clear()
        self.cursor = await db.fetchval(SQL.a_minute_ago)
        for guard in guards:
            self.take(guard)
        await self._count_again(db, {tenant: one for tenant, one in self._since.items() if one.position < self.cursor})

    def take(self, guard: Guard) -> None:
        """Count for this guard from now on, or no more."""
        if not guard.is_on_temporal or not guard.since:
            self._since.pop(guard.tenant_id, None)
            return
        known = self._since.get(guard.tenant_id)
        fresh = ComparisonWindow.of_stored(guard.since)
        if known is None or (known.position, known.block) != (fresh.position, fresh.block):
            self._since[guard.tenant_id] = fresh

    def start(self) -> dict[str, Any]:
        """What is written down when a guardrail is armed now."""
        return ComparisonWindow(self.cursor).stored()

    async def follow(self) -> set[str]:
        """Count what is new; the tenants of which something was counted."""
        touched: set[str] = set()
        while True:
            page = await self._evidence.since(self.cursor)
            for outcome in page.outcomes:
                if outcome.backend == TEMPORAL and outcome.tenant_id is not None:
                    self._count(outcome, outcome.tenant_id, touched)
            self.cursor = page.cursor
            if page.is_last:
                return touched

    async def compared(self, db: Database, guard: Guard, now: datetime) -> tuple[Guard, Assessment]:
        """What the test says of this tenant, and the guard with what is new to write down."""
        since = self._since.get(guard.tenant_id)
        if since is None or not since.has_news:
            return guard, Assessment()
        if since.baselines is None:
            start = (guard.armed_at or now) - WINDOW
            slices = await self._evidence.slices(guard.tenant_id, start, guard.armed_at or now)
            since.baselines = baselines_of(slices, guard.armed_at or now)
            await self._count_again(db, {guard.tenant_id: since})
            guard = replace(guard, since=since.stored())
        assessment, judged = since.judged(), since
        if assessment.regression is not None or since.aside:
            since, assessment = since.weighed(assessment, await self._beside(now), self.cursor)
        elif not assessment.doubts and since.is_full:
            since = since.anew(self.cursor)
        if since is not judged:
            self._since[guard.tenant_id] = since
            guard = replace(guard, since=since.stored())
        return guard, replace(assessment, notes=judged.notes())

    def in_a_minute(self) -> dict[str, tuple[int, int]]:
        """Dead letters and lost workers of each tenant on Temporal in the last minute."""
        self._forget_older()
        dead = Counter(tenant for _, tenant, is_dead, _ in self._minute if is_dead)
        lost = Counter(tenant for _, tenant, _, is_lost in self._minute if is_lost)
        return {tenant: (dead[tenant], lost[tenant]) for tenant in dead.keys() | lost.keys()}

    def _forget_older(self) -> None:
        oldest = self._monotonic() - MINUTE
        while self._minute and self._minute[0][0] < oldest:
            self._minute.popleft()

    def _count(self, outcome: Outcome, tenant_id: str, touched: set[str]) -> None:
        if outcome.died or outcome.worker_lost:
            self._forget_older()  # perhaps nobody has limits, and nobody asks
            self._minute.append((self._monotonic(), tenant_id, outcome.died, outcome.worker_lost))
        since = self._since.get(tenant_id)
        if since is not None and outcome.position > since.position:
            touched.add(tenant_id)
            since.add(Run(outcome.task_type, outcome.failed, outcome.retried, outcome.dead, outcome.run_seconds))

    async def _count_again(self, db: Database, behind: Mapping[str, ComparisonWindow]) -> None:
        """Count what lies before the cursor; of tenants without a baseline only whether there is anything."""
        if not behind:
            return
        positions = [one.position for one in behind.values()]
        for row in await db.fetch(SQL.counted, list(behind), positions, self.cursor):
            behind[row["tenant_id"]].add(Run(*(row[name] for name in Run._fields)))

    async def _beside(self, now: datetime) -> Mapping[str, Rate]:
        """First runs of everybody's tasks on Redis, by type, in the worst of the last minutes that says anything: what
        was moved is not among them."""
        found: dict[str, Rate] = {}
        for one in await self._evidence.slices_of_everybody(now - BESIDE, now + BESIDE):
            rate = Rate(one.counts.first, one.counts.failed)
            if (
                one.backend == REDIS
                and rate.asked >= LEAST_RECENT
                and rate.part >= found.get(one.task_type, Rate()).part
            ):
                found[one.task_type] = rate
        return found
