"""What rehearsals of a tenant found, in words a person can act on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import asyncpg
import orjson

from gateway.errors import TenantNotFound
from gateway.migration.rehearsal.comparisons import REHEARSED
from gateway.migration.rehearsal.errors import UnknownReason
from gateway.migration.rehearsal.findings import OF_REASON, SQL
from gateway.migration.rehearsal.pairs import ProbedTask, probed_tasks
from gateway.migration.rehearsal.probe_report import ProbeSummary, compared, summary_of
from gateway.migration.rehearsal.reason_count import ReasonCount, counted
from gateway.migration.rehearsal.reasons import REASONS, RehearsalVerdict, Weight
from gateway.routing.query import RouteQuery
from gateway.routing.router import Router
from gateway.routing.stages import Stage
from gateway.storage.database import Database

#: The longest time that a summary is about (hours), and the most single tasks of one answer.
LONGEST_HOURS: Final = 24 * 365
LARGEST_PAGE: Final = 300
#: What single tasks are listed by.
TaskVerdictName = Literal["ready", "not_ready", "unknown"]


@dataclass(frozen=True, slots=True)
class RehearsalSummary:
    """Of one tenant, over the last `hours`. `note`: what the verdict means, and what to do.

    `waiting` tasks were not looked at yet, the oldest for `behind_seconds`; `left_out` never will be.
    """

    tenant_id: str
    stage: Stage
    verdict: RehearsalVerdict
    note: str
    hours: int
    ready: int = 0
    not_ready: int = 0
    unknown: int = 0
    left_out: int = 0
    waiting: int = 0
    behind_seconds: float = 0.0
    last_at: datetime | None = None
    reasons: list[ReasonCount] = field(default_factory=list)
    probes: ProbeSummary = field(default_factory=ProbeSummary)


@dataclass(frozen=True, slots=True)
class TaskVerdict:
    """What was found about one task; `reasons`: each as a code and what it says of this task."""

    task_id: str
    task_type: str
    stage: str
    verdict: RehearsalVerdict
    reasons: list[dict[str, str]]
    at: datetime


class RehearsalReports:
    """Reads; methods raise `DatabaseUnavailable`."""

    def __init__(self, database: Database, router: Router) -> None:
        self._db = database
        self._router = router

    async def summaries(self, tenant_id: str | None, hours: int) -> list[RehearsalSummary]:
        """Of this tenant, or of all who rehearse now or did within these hours. Raises `TenantNotFound`."""
        found = await self._read(tenant_id, hours)
        if tenant_id is None:
            return [one for one in found if one.stage in REHEARSED or one.last_at is not None]
        if not found:
            raise TenantNotFound
        probed = await probed_tasks(self._db, tenant_id, datetime.now(UTC) - timedelta(hours=hours))
        return [replace(one, probes=compared(one.probes, probed)) for one in found]

    async def tasks(
        self, tenant_id: str, *, verdict: TaskVerdictName | None, reason: str | None, limit: int
    ) -> list[TaskVerdict]:
        """The newest verdicts that are kept. Raises `TenantNotFound`, `UnknownReason`."""
        if reason is not None and reason not in REASONS:
            raise UnknownReason(f"There is no reason {reason!r}; the reasons are {', '.join(REASONS)}")
        if not await self._db.fetch(SQL.tenants, tenant_id):
            raise TenantNotFound
        rows = await self._db.fetch(SQL.verdicts, tenant_id, verdict, limit, reason)
        return [
            TaskVerdict(
                row["task_id"],
                row["task_type"],
                row["stage"],
                RehearsalVerdict(row["verdict"]),
                [_with_words(one) for one in orjson.loads(row["reasons"])],
                row["at"],
            )
            for row in rows
        ]

    async def probes(self, tenant_id: str, hours: int) -> list[ProbedTask]:
        """The newest probes that have ended, beside their tasks. Raises `TenantNotFound`."""
        if not await self._db.fetch(SQL.tenants, tenant_id):
            raise TenantNotFound
        return await probed_tasks(self._db, tenant_id, datetime.now(UTC) - timedelta(hours=hours))

    async def _read(self, tenant_id: str | None, hours: int) -> list[RehearsalSummary]:
        counts: dict[str, list[asyncpg.Record]] = {}
        for row in await self._db.fetch(SQL.counts, tenant_id, hours):
            counts.setdefault(row["tenant_id"], []).append(row)
        waiting = {row["tenant_id"]: row for row in await self._db.fetch(SQL.waiting, tenant_id)}
        tenants = await self._db.fetch(SQL.tenants, tenant_id)
        return [
            _summary(row["id"], self._stage(row), hours, counts.get(row["id"], []), waiting.get(row["id"]))
            for row in tenants
        ]

    def _stage(self, tenant: asyncpg.Record) -> Stage:
        return self._router.route(RouteQuery(tenant["id"], "", plan=tenant["plan"])).stage


def _summary(
    tenant_id: str, stage: Stage, hours: int, counts: Sequence[asyncpg.Record], waiting: asyncpg.Record | None
) -> RehearsalSummary:
    tasks: Counter[str] = Counter()
    reasons: dict[str, list[asyncpg.Record]] = {}
    for row in counts:
        tasks[row["what"]] += row["tasks"]
        if row["what"].startswith(OF_REASON):
            reasons.setdefault(row["what"].removeprefix(OF_REASON), []).append(row)
    listed = counted({code: (known, reasons[code]) for code, known in REASONS.items() if code in reasons})
    probes = summary_of(counts)
    verdict = _verdict(tasks, probes)
    return RehearsalSummary(
        tenant_id=tenant_id,
        stage=stage,
        verdict=verdict,
        note=_note(verdict, stage, tasks, [*listed, *probes.reasons], hours),
        hours=hours,
        ready=tasks[RehearsalVerdict.READY],
        not_ready=tasks[RehearsalVerdict.NOT_READY],
        unknown=tasks[RehearsalVerdict.UNKNOWN],
        left_out=tasks[RehearsalVerdict.LEFT_OUT],
        waiting=0 if waiting is None else waiting["tasks"],
        behind_seconds=0.0 if waiting is None else round(waiting["seconds"], 1),
        last_at=max((row["last_at"] for row in counts), default=None),
        reasons=listed,
        probes=probes,
    )


def _verdict(tasks: Counter[str], probes: ProbeSummary) -> RehearsalVerdict:
    """The worst of the tasks; probes that failed are as bad. One without an answer says nothing."""
    if probes.failed:
        return RehearsalVerdict.NOT_READY
    for verdict in (RehearsalVerdict.NOT_READY, RehearsalVerdict.UNKNOWN, RehearsalVerdict.READY):
        if tasks[verdict]:
            return verdict
    return RehearsalVerdict.NO_DATA


def _note(verdict: RehearsalVerdict, stage: Stage, tasks: Counter[str], reasons: list[ReasonCount], hours: int) -> str:
    looked_at = tasks[RehearsalVerdict.READY] + tasks[RehearsalVerdict.NOT_READY] + tasks[RehearsalVerdict.UNKNOWN]
    first = next((one for one in reasons if one.weight is not Weight.WARNING), None)
    match verdict:
        case RehearsalVerdict.NO_DATA if stage in REHEARSED:
            return f"no task was started in the last {hours} h: submit one, or wait; nothing is known"
        case RehearsalVerdict.NO_DATA:
            return f"stage {stage} rehearses nothing: set dualwrite or shadow (taskgate flags set)"
        case RehearsalVerdict.READY:
            return f"{looked_at} of {looked_at} tasks could have started on Temporal"
        case RehearsalVerdict.NOT_READY if tasks[verdict] and first is not None:
            return f"{tasks[verdict]} of {looked_at} tasks could not have run on Temporal; first: {first.advice}"
        case RehearsalVerdict.NOT_READY if first is not None:
            return f"{looked_at} tasks could have started, but probes failed: {first.meaning}; {first.advice}"
        case _:
            advice = "" if first is None else f"; first: {first.advice}"
            return f"of {tasks[verdict]} of {looked_at} tasks it could not be found out{advice}"


def _with_words(one: dict[str, str]) -> dict[str, str]:
    known = REASONS[one["code"]]
    return {**one, "weight": known.weight, "meaning": known.meaning, "advice": known.advice}
