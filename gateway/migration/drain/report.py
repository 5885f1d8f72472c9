"""`Drain`: what is left for Redis, of a tenant and of everybody, when it will be gone, and whether Redis may go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from backends.errors import EngineError
from backends.port import Place, Stock, WorkflowEnginePort
from gateway.errors import TenantNotFound
from gateway.ingress.foreign import SQL as FOREIGN_SQL
from gateway.ingress.foreign import resolve
from gateway.migration.drain.backlog import RATE_SECONDS, SQL, Backlog, Rows, Share, assemble, query_of, read
from gateway.migration.drain.cross_check import CrossCheck
from gateway.migration.drain.eta import ALL, Estimate, NoEstimate, Work, estimate
from gateway.migration.drain.oldest_remaining import OldestRemaining, RemainingTask
from gateway.migration.drain.verdict import Counts, DrainVerdict, Judgement, Sighting, Whole, counted, judge
from gateway.routing.router import Router
from gateway.routing.stages import REDIS, Stage
from gateway.storage.database import Database

#: A reading is used for so many seconds, and for ten times as long as it took, by whoever asks.
SHORTEST_AGE, LONGEST_AGE = 0.5, 30.0
#: So long without a look at Redis (seconds) and it counts as not looked at.
STALE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of one tenant, or of everybody; `tenant_id` None: nobody's. Rates are per second.

    `eta` None: nothing is left, or `no_eta` says why nobody knows. `stage`: where the tenant stands in general.
    """

    tenant_id: str | None
    stage: str | None
    verdict: DrainVerdict
    blocked_by: list[str]
    counts: Counts
    past_gateway_at: datetime | None
    next_firing_at: datetime | None
    rate_in: float
    rate_out: float
    eta: Estimate | None
    no_eta: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """A drain at one moment. `missing`: what else is needed before Redis may go, each as a line that says what to do.

    `postgresql`, `redis`: what each of them holds, read for itself; `redis` None: it could not be read.
    """

    at: datetime
    left: Left
    missing: list[str]
    postgresql: int
    redis: int | None
    slowest: list[RemainingTask]
    tenants: list[Left] = field(default_factory=list)
    """Of a report about everybody: those of whom something is left."""
    notes: list[str] = field(default_factory=list)
    """What else people should know; no reason for a verdict."""


@dataclass(frozen=True, slots=True)
class _Reading:
    at: datetime
    backlog: Backlog
    whole: Whole
    stages: Mapping[str | None, Stage]
    ends: Mapping[str | None, Estimate]
    no_eta: str | None
    notes: list[str]
    slowest: dict[str | None, list[RemainingTask]] = field(default_factory=dict)
    """Of those who asked."""


class Drain:
    """Reads; one reading at a time serves whoever asks. `redis` None: this gateway has no Redis.

    Methods raise `DatabaseUnavailable`; a Redis that is away stands in the report.
    """

    def __init__(
        self,
        database: Database,
        redis: WorkflowEnginePort | None,
        router: Router,
        slowest: OldestRemaining,
        cross_check: CrossCheck,
        *,
        quiet: timedelta,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._db = database
        self._redis = redis
        self._router = router
        self._slowest = slowest
        self._cross_check = cross_check
        self._quiet = quiet
        self._clock = clock
        self._running: asyncio.Task[_Reading] | None = None
        self._kept: tuple[float, _Reading] | None = None

    async def report(self, tenant_id: str | None = None) -> Report:
        """Of one tenant, or of everybody. Raises `TenantNotFound`."""
        reading = await self._latest()
        if tenant_id is not None and tenant_id not in reading.stages:
            raise TenantNotFound
        backlog, whole = reading.backlog, reading.whole
        shares = backlog.shares
        if tenant_id is None:
            total, judgement = self._left_of(ALL, _together(backlog), reading)
            names = [name for name, share in backlog.shares.items() if not share.counts.is_empty]
            tenants = [self._left_of(name, backlog.shares[name], reading)[0] for name in sorted(names, key=str)]
        else:
            shares = {tenant_id: backlog.shares.get(tenant_id, Share())}
            (total, judgement), tenants = self._left_of(tenant_id, shares[tenant_id], reading), []
        if tenant_id not in reading.slowest:
            found = await self._slowest.find(shares, tenant_id) if total.counts.tasks else []
            reading.slowest[tenant_id] = found
        slowest = reading.slowest[tenant_id]
        known = sum(share.in_postgresql for share in shares.values())
        redis = whole.redis_payloads
        return Report(reading.at, total, judgement.missing, known, redis, slowest, tenants, reading.notes)

    def _left_of(self, name: str | None, share: Share, reading: _Reading) -> tuple[Left, Judgement]:
        counts = share.counts
        blocked = _blocked(name, share, reading)
        judgement = judge(counts, blocked, reading.whole, everybody=name == ALL, now=reading.at, quiet=self._quiet)
        shown = _copy(counts)
        shown.set_aside += share.set_aside_before
        left = Left(
            None if name == ALL else name,
            None if name == ALL else str(reading.stages.get(name, "")) or None,
            judgement.verdict,
            judgement.blocked_by,
            shown,
            share.past_gateway_at,
            share.next_firing_at,
            share.came / RATE_SECONDS,
            share.ended / RATE_SECONDS,
            reading.ends.get(name) if counts.tasks else None,
            reading.no_eta if counts.tasks and name not in reading.ends else None,
        )
        return left, judgement

    async def _latest(self) -> _Reading:
        if self._kept is not None and time.monotonic() < self._kept[0]:
            return self._kept[1]
        if self._running is None:
            self._running = asyncio.create_task(self._read(), name="drain")
            self._running.add_done_callback(_forget)
        # Shielded: whoever leaves does not take the reading from the others.
        return await asyncio.shield(self._running)

    async def _read(self) -> _Reading:
        began = time.monotonic()
        try:
            # Redis first: a payload becomes a row, and hardly ever a row a payload that PostgreSQL does not count.
            (stocks, problem), notes = await asyncio.gather(self._stock(), self._cross_check.notes())
            foreign = await resolve(self._db, stocks, frozenset(Place))
            rows = await read(self._db)
            now = self._clock()
            backlog = await asyncio.to_thread(assemble, rows, stocks, foreign, self._router.route)
            whole = await self._whole(backlog, None if problem else backlog.redis_payloads, problem, now)
            ends, no_eta = await asyncio.to_thread(_ends, backlog)
            stages = await asyncio.to_thread(self._stages, rows)
            reading = _Reading(now, backlog, whole, stages, ends, no_eta, notes)
        finally:
            self._running = None
        took = time.monotonic() - began
        self._kept = (time.monotonic() + min(max(SHORTEST_AGE, 10 * took), LONGEST_AGE), reading)
        return reading

    async def _stock(self) -> tuple[list[Stock], str | None]:
        if self._redis is None:
            return [], "redis is not configured here: ask a gateway that has TASKGATE_REDIS_URL"
        try:
            return list(await self._redis.take_stock()), None
        except EngineError:
            return [], (
                "redis does not answer, so what it holds cannot be seen: bring it back; if it was switched off for"
                " good, take TASKGATE_REDIS_URL out of the settings"
            )

    async def _whole(self, backlog: Backlog, payloads: int | None, problem: str | None, now: datetime) -> Whole:
        sightings = await self._db.fetch(FOREIGN_SQL.last_seen, self._quiet.total_seconds())
        look = await self._db.fetchrow(SQL.look)
        assert look is not None
        watched = look["watched_since"] if look["looked_at"] and now - look["looked_at"] < STALE else None
        return Whole(
            _together(backlog).counts,
            payloads,
            problem,
            self._router.short_of(Stage.COMPLETE),
            self._router.doubts(),
            [Sighting(row["tenant_id"], row["last_at"], row["what"]) for row in sightings],
            watched,
        )

    def _stages(self, rows: Rows) -> dict[str | None, Stage]:
        queries = [query_of({**row, "task_type": "", "project_id": None}) for row in rows.tenants]
        return {query.tenant_id: self._router.route(query).stage for query in queries}


def _forget(done: asyncio.Task[_Reading]) -> None:
    """Everybody who asked may have left."""
    if not done.cancelled():
        done.exception()


def _ends(backlog: Backlog) -> tuple[dict[str | None, Estimate], str | None]:
    chains = [chain for share in backlog.shares.values() for chain in share.chains.values()]
    work = Work(chains, backlog.runs, backlog.slots, backlog.overhead, backlog.most, not backlog.is_legacy)
    try:
        return estimate(work), None
    except NoEstimate as why:
        return why.others, str(why)


def _blocked(name: str | None, share: Share, reading: _Reading) -> list[str]:
    """What does not end by itself."""
    counts, found = share.counts, []
    if counts.held_by_pause:
        held = counted(counts.held_by_pause, "task")
        found.append(f"pauses hold {held}: see taskgate pause list, and end them with taskgate resume")
    on_redis = counts.queued + counts.past_gateway
    if counts.held_by_quota and not on_redis + counts.running + counts.on_legacy_workers:
        held = counted(counts.held_by_quota, "task")
        found.append(f"quotas hold {held}, and nothing runs that would make room: raise `running` (taskgate quota set)")
    if on_redis and not reading.backlog.slots:
        found.append(f"no worker serves redis, where {counted(on_redis, 'task')} should run: start one")
    if counts.schedules:
        next_at = "" if share.next_firing_at is None else f", next at {share.next_firing_at:%Y-%m-%d %H:%M:%SZ}"
        found.append(f"{counted(counts.schedules, 'schedule')} to fire to redis{next_at}: move the tenant, or pause it")
    if share.came and counts.tasks and reading.no_eta is not None and name not in reading.ends and reading.backlog.runs:
        found.append(f"{reading.no_eta}: move tenants whose new tasks go to {REDIS}, or add workers")
    return found


def _together(backlog: Backlog) -> Share:
    total = Share()
    for share in backlog.shares.values():
        total.counts.add(share.counts)
        total.set_aside_before += share.set_aside_before
        total.came += share.came
        total.ended += share.ended
        total.waits_here |= share.waits_here
        total.past_gateway_at = max(filter(None, (total.past_gateway_at, share.past_gateway_at)), default=None)
        total.next_firing_at = min(filter(None, (total.next_firing_at, share.next_firing_at)), default=None)
    return total


def _copy(counts: Counts) -> Counts:
    copy = Counts()
    copy.add(counts)
    return copy
