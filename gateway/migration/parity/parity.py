"""`Parity`: how a tenant's tasks fare since its move, against its own past and beside the noise (docs/parity.md)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.access.placement import Caller
from gateway.errors import InvalidRequest, TenantNotFound
from gateway.migration.parity.evidence import Counts, Evidence, Slice
from gateway.migration.parity.histogram import Histogram
from gateway.migration.parity.judgement import NOTHING, Judgement, ParityVerdict, Sides, judge, worst
from gateway.migration.parity.recorder import SLICE_SECONDS
from gateway.routing.overrides import SQL as ROUTING_SQL
from gateway.routing.query import RouteQuery
from gateway.routing.router import Router
from gateway.routing.stages import REDIS, TEMPORAL, Stage, backend_of
from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.migration.parity", "parity.sql")

#: The baseline is so much of the tenant's past before its move.
WINDOW: Final = timedelta(hours=24)
#: Of the time since its move, so many minutes in which a task type ended tasks on an engine are read, the newest: as
#: many as a day has. A tenant with few tasks has them over weeks.
MOST_SLICES: Final = 1440
#: So far behind, and nothing is said.
MOST_BEHIND: Final = timedelta(seconds=5)

_TIME: Final = "%Y-%m-%d %H:%M:%SZ"
_SLICE: Final = timedelta(seconds=SLICE_SECONDS)
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_BEFORE: Final = [stage.value for stage in Stage if backend_of(stage) == REDIS]
_AFTER: Final = [stage.value for stage in Stage if backend_of(stage) == TEMPORAL]


@dataclass(frozen=True, slots=True)
class TypeParity:
    """One task type. `both`: what ended on the old engine since the move, too; a stage may move a part only."""

    sides: Sides
    both: Counts
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Report:
    """A tenant's parity at one moment; all times are the database's.

    `moved_by`: the entry of the ledger that moved it; None: `since` was given, or is that of the first task on the new
    engine, or None: it never moved. `behind_seconds`: the age of what is not counted yet.
    """

    at: datetime
    tenant_id: str
    stage: Stage
    verdict: ParityVerdict
    reasons: list[str]
    since: datetime | None
    moved_by: int | None
    baseline_from: datetime | None
    behind_seconds: float
    types: list[TypeParity]


@dataclass(frozen=True, slots=True)
class Move:
    """`entry_id` None: seen by the first task on the new engine, or given."""

    at: datetime
    entry_id: int | None


@dataclass(frozen=True, slots=True)
class Recount:
    """From `at` on a tenant's tasks are counted anew, compared with what its move left behind; a later move ends that.

    `number`: of this recount, from 1; each may err by itself (`eprocess.share_of_count`).
    """

    at: datetime
    number: int


class Parity:
    """Reads sums of slices; what it reads depends on the windows only. Methods raise `DatabaseUnavailable`."""

    def __init__(self, database: Database, router: Router, *, days: float) -> None:
        self._db = database
        self._router = router
        self._evidence = Evidence(database)
        self._kept = timedelta(days=days)

    async def report(
        self, caller: Caller, tenant_id: str, *, since: datetime | None = None, recount: Recount | None = None
    ) -> Report:
        """Since the last move, or a recount after it, or since the time given, which is then the move's. Raises
        `TenantNotFound`, also for a foreign one, and `InvalidRequest`."""
        await self.check(caller, tenant_id)
        return await self._report(tenant_id, since, recount)

    async def since_last_move(self, tenant_id: str) -> Report:
        """The same for whoever was checked before. Raises `TenantNotFound`."""
        return await self._report(tenant_id, None, None)

    async def _report(self, tenant_id: str, since: datetime | None, recount: Recount | None) -> Report:
        query = await self._query(tenant_id)
        state = await self._db.fetchrow(SQL.state)
        assert state is not None
        at: datetime = state["at"]
        if since is not None and not at - self._kept < since < at:
            raise InvalidRequest(
                f"Give a time within the last {self._kept.days} days (TASKGATE_PARITY_DAYS).", field="since"
            )
        stage = self._router.route(query).stage
        behind = max(at - state["waits_since"], timedelta()) if state["waits_since"] else timedelta()
        move = Move(since, None) if since is not None else await self._last_move(tenant_id, at)
        if move is None:
            reasons = [_not_there(tenant_id, stage)]
            return Report(
                at, tenant_id, stage, ParityVerdict.NO_DATA, reasons, None, None, None, behind.total_seconds(), []
            )
        if recount is not None and recount.at <= move.at:
            recount = None
        types = await self._types(tenant_id, move.at, at, recount)
        verdict, reasons = _together(types, tenant_id, move.at, recount, behind)
        if backend_of(stage) == REDIS and not any(one.sides.since.ended for one in types):
            verdict, reasons = ParityVerdict.NO_DATA, [_not_there(tenant_id, stage)]
        elif move.at <= at - self._kept:
            verdict, reasons = ParityVerdict.NO_DATA, [_forgotten(tenant_id, self._kept)]
        return Report(
            at,
            tenant_id,
            stage,
            verdict,
            reasons,
            move.at,
            move.entry_id,
            move.at - WINDOW,
            behind.total_seconds(),
            types,
        )

    async def last_move(self, caller: Caller, tenant_id: str) -> Move | None:
        """Its last move to the new engine; None: it never ran there. Raises `TenantNotFound`."""
        await self.check(caller, tenant_id)
        state = await self._db.fetchrow(SQL.state)
        assert state is not None
        return await self._last_move(tenant_id, state["at"])

    async def check(self, caller: Caller, tenant_id: str) -> None:
        """Whether this caller may ask about this tenant. Raises `TenantNotFound`, also for a foreign one."""
        if not caller.sees(tenant_id):
            raise TenantNotFound
        await self._query(tenant_id)
        caller.check(tenant_id)

    async def _query(self, tenant_id: str) -> RouteQuery:
        row = await self._db.fetchrow(ROUTING_SQL.tenant_plan, tenant_id)
        if row is None:
            raise TenantNotFound
        return RouteQuery(tenant_id, "", plan=row["plan"])

    async def _last_move(self, tenant_id: str, at: datetime) -> Move | None:
        """By the ledger; of a share of the tasks or a rule, which names no tenant, by the first task."""
        scopes = [f"tenant:{tenant_id}", "default", "all"]
        entry = await self._db.fetchrow(SQL.last_move, scopes, _BEFORE, _AFTER)
        if entry is not None:
            return Move(entry["at"], entry["id"])
        slices = await self._evidence.slices(tenant_id, at - WINDOW, at)
        first = next((one.at for one in slices if one.backend == TEMPORAL), None)
        return None if first is None else Move(first, None)

    async def _types(
        self, tenant_id: str, moved_at: datetime, at: datetime, recount: Recount | None
    ) -> list[TypeParity]:
        """The minute of the move belongs to neither side, but for what ended on the new engine; that of a recount to
        none."""
        before = moved_at - WINDOW, moved_at - _SLICE
        start = before[1] if recount is None else recount.at
        mine_before, mine_since, all_before = await asyncio.gather(
            self._evidence.slices(tenant_id, *before),
            self._evidence.newest_slices(tenant_id, start, at, each=MOST_SLICES),
            self._evidence.slices_of_everybody(*before),
        )
        all_since = await self._evidence.slices_beside(mine_since, REDIS, start)
        old = [one for one in mine_before if one.backend == REDIS]
        even, odd = ([one for one in old if _is_odd(one) is is_odd] for is_odd in (False, True))
        sums = [_sums(old), _sums(even), _sums(odd)]
        stayed = _sums(one for one in mine_since if one.backend == REDIS)
        since_sums = _sums(one for one in mine_since if one.backend == TEMPORAL)
        others = [_sums(one for one in all_ if one.backend == REDIS) for all_ in (all_before, all_since)]
        names = sorted(sums[0].keys() | since_sums.keys())
        found = []
        for name in names:
            mine, half, other_half = (part.get(name, NOTHING) for part in sums)
            both = stayed.get(name, NOTHING)
            sides = Sides(
                name,
                mine,
                since_sums.get(name, NOTHING),
                (half, other_half),
                _less(others[0].get(name, NOTHING), mine),
                _less(others[1].get(name, NOTHING), both),
            )
            judgement = judge(
                sides,
                tenant_id=tenant_id,
                old=REDIS,
                new=TEMPORAL,
                task_types=len(names),
                recounts=0 if recount is None else recount.number,
            )
            found.append(TypeParity(sides, both, judgement))
        return found


def _together(
    types: list[TypeParity], tenant_id: str, moved_at: datetime, recount: Recount | None, behind: timedelta
) -> tuple[ParityVerdict, list[str]]:
    if behind > MOST_BEHIND:
        why = f"the count is {behind.total_seconds():.0f} s behind: no gateway leads, or PostgreSQL is slow; ask again"
        return ParityVerdict.INCONCLUSIVE, [why]
    if not types:
        since, before = f"its move at {moved_at:{_TIME}}", ""
        if recount is not None:
            since, before = f"it is counted anew, {recount.at:{_TIME}}", " its move"
        why = f"{tenant_id}: nothing ended since {since}, nor in the 24 hours before{before}; send a task"
        return ParityVerdict.NO_DATA, [why]
    verdict = worst([one.judgement.verdict for one in types])
    return verdict, [line for one in types if one.judgement.verdict is verdict for line in one.judgement.reasons]


def _not_there(tenant_id: str, stage: Stage) -> str:
    why = f"nothing of {tenant_id} has ended on {TEMPORAL}, and its stage is {stage}"
    return f"{why}: move it with taskgate flags set, or rehearse first"


def _forgotten(tenant_id: str, kept: timedelta) -> str:
    why = f"{tenant_id} moved more than {kept.days} days ago, and what it did before is forgotten"
    return f"{why} (TASKGATE_PARITY_DAYS): judge it by its dead letters"


def _is_odd(one: Slice) -> bool:
    return round((one.at - _EPOCH) / _SLICE) % 2 == 1


def _sums(slices: Iterable[Slice]) -> Mapping[str, Counts]:
    """By task type."""
    by_type: dict[str, list[Counts]] = defaultdict(list)
    for one in slices:
        by_type[one.task_type].append(one.counts)
    return {name: Counts.of(counts) for name, counts in by_type.items()}


def _less(all_: Counts, mine: Counts) -> Counts:
    """What is left without a part of it; a slice may have been counted between the two readings."""
    return Counts(
        *(max(getattr(all_, name) - getattr(mine, name), 0) for name in Counts.NUMBERS),
        *(_less_histogram(getattr(all_, name), getattr(mine, name)) for name in Counts.HISTOGRAMS),
    )


def _less_histogram(all_: Histogram, mine: Histogram) -> Histogram:
    padded = [*mine.counts, *[0] * max(len(all_.counts) - len(mine.counts), 0)]
    return Histogram(max(count - taken, 0) for count, taken in zip(all_.counts, padded, strict=False))
