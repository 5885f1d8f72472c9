"""What is in a plan's way, in sentences that say what to do; and whether a wave's gates have passed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Final

import asyncpg

from gateway.access.placement import Caller
from gateway.migration.command import command
from gateway.migration.drain.report import Drain
from gateway.migration.drain.verdict import DrainVerdict, counted
from gateway.migration.guardrails.places import AUTHOR as GUARDRAIL
from gateway.migration.guardrails.policy import Response
from gateway.migration.guardrails.store import SQL as GUARD_SQL
from gateway.migration.parity.judgement import ParityVerdict
from gateway.migration.parity.parity import Parity, Recount, Report
from gateway.migration.plans.document import ParityGate, Plan
from gateway.migration.plans.progress import SQL, Progress
from gateway.migration.plans.shares import is_further, off_stage, share_taken_back, standing
from gateway.routing.flag_document import Json
from gateway.routing.overrides import PLAN_AUTHOR as AUTHOR
from gateway.routing.query import Scope
from gateway.routing.stages import TEMPORAL, Stage, backend_of
from gateway.storage.database import Database

#: So long (seconds) a change of the flag may take until it is in force here.
IN_FORCE_SECONDS: Final = 30.0
#: Who is named of those that are in the way, and tenants that are asked for their parity at once.
_NAMED: Final = 3
_ASKED: Final = 200
_LEADER: Final = Caller("taskgate plan", "", True, frozenset())
_EMPTY: Final = (DrainVerdict.DRAINED, DrainVerdict.SAFE)


class Trouble:
    """Reads what guardrails and people did to a plan's tenants. Raises `DatabaseUnavailable`."""

    def __init__(
        self,
        database: Database,
        known: Callable[[], Json | None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`known` is the flag in force here."""
        self._db = database
        self._known = known
        self._monotonic = monotonic
        self._behind: dict[str, dict[str | None, float]] = {}

    async def of(self, progress: Progress, plan: Plan) -> str | None:
        """Why it does not go on; None: guardrails are quiet, and nobody else decided otherwise."""
        freeze = await self._db.fetchrow(GUARD_SQL.freeze_now)
        if freeze is not None:
            return f"the guardrails are frozen: {freeze['why']} ({command('migration guardrails unfreeze')})"
        said = await self._at_once(progress, plan)
        rows = await self._db.fetch(SQL.troubled, progress.name, progress.wave, AUTHOR)
        said += [line for row in rows if (line := _sentence(row, Stage(plan.stage_of(row["wave"])), progress.name))]
        if _last_share(progress, plan) is not None:
            everybody = await self._db.fetch(SQL.troubled_anywhere, GUARDRAIL, progress.started_at)
            stage = Stage(plan.stage_of(progress.wave))
            named = {row["tenant_id"] for row in rows}
            others = [row for row in everybody if row["tenant_id"] not in named]
            said += [line for row in others if (line := _sentence(row, stage, None))]
        said += await self._taken_back(progress, plan)
        said = list(dict.fromkeys(said))
        more = f"; and {len(said) - _NAMED} more tenants" if len(said) > _NAMED else ""
        return "; ".join(said[:_NAMED]) + more if said else None

    async def _at_once(self, progress: Progress, plan: Plan) -> list[str]:
        """What keeps everybody from the plan's stage: the override for all, a flag that is switched off."""
        said = []
        override = await self._db.fetchrow(SQL.troubled_at_once, progress.name, progress.wave, AUTHOR)
        if override is not None:
            share = _last_share(progress, plan)
            waves = [*override["waves"], *(() if share is None else (share,))]
            if any(plan.stage_of(wave) != override["stage"] for wave in waves):
                keeps = f"{override['set_by']} keeps everybody at {override['stage']} ({override['why']})"
                said.append(f"{keeps}: {command('route override clear', all=True)}")
        flag = self._known()
        if flag is not None and not flag.get("on"):
            stage = off_stage(flag)
            if any(plan.stage_of(wave) != stage for wave in range(progress.wave + 1)):
                off = f'the flag is switched off ("on": false), which keeps everybody at {stage}'
                said.append(f'{off}: switch it on ("on": true), {_abort(progress.name)}')
        return said

    async def _taken_back(self, progress: Progress, plan: Plan) -> list[str]:
        """What somebody moved back in the flag; a change needs a moment until it is in force here.

        The default of the flag stands beside the tenants as None.
        """
        flag, now = self._known(), self._monotonic()
        rows = await self._db.fetch(SQL.moved, progress.name, progress.wave) if flag is not None else []
        before, behind, said = self._behind.get(progress.name, {}), dict[str | None, float](), []
        settings = standing(flag) if flag is not None else {}
        default = share_taken_back(progress, flag) if flag is not None else None
        if default is not None:
            behind[None] = before.get(None, now)
            if now - behind[None] >= IN_FORCE_SECONDS:
                said.append(f"{default}, {_abort(progress.name)}")
        for row in rows:
            tenant, stage = row["tenant_id"], Stage(plan.stage_of(row["wave"]))
            stands = settings.get(Scope(tenant)) or settings.get(Scope())
            if stands is stage or is_further(stands, stage):
                continue
            behind[tenant] = before.get(tenant, now)
            if now - behind[tenant] >= IN_FORCE_SECONDS:
                again = command("flags set", tenant=tenant, stage=stage)
                what = f"the flag has tenant {tenant} at {stands or 'no stage of its own'}, where the plan put {stage}"
                said.append(f"{what}: {again}, {_skip(progress.name, tenant)}")
        self._behind[progress.name] = behind
        return said


def _sentence(row: asyncpg.Record, stage: Stage, plan: str | None) -> str | None:
    """`plan`: the one that can leave the tenant out; a percentage of tasks cannot."""
    tenant = row["tenant_id"]
    skip = "" if plan is None else f", {_skip(plan, tenant)}"
    if row["stage"] is not None and row["stage"] != stage:
        clear = command("route override clear", tenant=tenant)
        if row["set_by"] == GUARDRAIL:
            taken = f"the guardrail took tenant {tenant} back to {row['stage']} ({row['why']})"
            return f"{taken}: mend the cause, then {clear}{skip}"
        return f"{row['set_by']} keeps tenant {tenant} at {row['stage']} ({row['why']}): {clear}{skip}"
    if row["phase"] == "locked":
        unlock = command("migration guardrails unlock", tenant=tenant)
        return f"tenant {tenant} was rolled back too often and is locked: look, then {unlock}{skip}"
    concerns = json.loads(row["concerns"] or "{}").values()
    holds = [one["why"] for one in concerns if one["response"] != Response.NOTIFY]
    if holds and backend_of(stage) == TEMPORAL:
        return f"the guardrail of tenant {tenant} holds ({'; '.join(holds)}): mend that{skip}"
    return None


def _last_share(progress: Progress, plan: Plan) -> int | None:
    """The last wave until now that moves a percentage of everybody's tasks."""
    waves = range(progress.wave, -1, -1)
    return next((wave for wave in waves if plan.waves[wave].tasks_percent is not None), None)


def _abort(plan: str) -> str:
    return f"or {command('migration plan abort', plan)}"


def _skip(plan: str, tenant: str) -> str:
    return f"or leave it out: {command('migration plan skip', plan, tenant=tenant)}"


class Gates:
    """Asks what a wave has to show before it is over. Raises `DatabaseUnavailable`."""

    def __init__(self, database: Database, parity: Parity, drain: Drain) -> None:
        self._db = database
        self._parity = parity
        self._drain = drain
        self._asked = 0

    async def missing(self, progress: Progress, plan: Plan) -> list[str]:
        """What has not passed yet, in sentences; the cheapest first."""
        gates = plan.gates_of(progress.wave)
        title = plan.title_of(progress.wave)
        if gates.approval and progress.approved_by is None:
            yes = command("migration plan approve", progress.name, wave=progress.wave + 1)
            return [f"{title} waits for a person's approval: {yes}"]
        rows = await self._db.fetch(SQL.asked_of, progress.name, progress.wave)
        found = []
        if gates.drain is not None:
            found += await self._not_drained([row["tenant_id"] for row in rows])
        if gates.parity is not None and rows:
            found += await self._not_passed(progress, gates.parity, rows)
        return found

    async def _not_drained(self, tenants: list[str]) -> list[str]:
        left = []
        for tenant in tenants:
            one = (await self._drain.report(tenant)).left
            if one.verdict not in _EMPTY:
                why = f" ({'; '.join(one.blocked_by)})" if one.blocked_by else ""
                left.append(f"{counted(one.counts.tasks, 'task')} of {tenant}{why}")
        named = ", ".join(left[:_NAMED])
        return [f"on redis there are still {named}, of {counted(len(left), 'tenant')} in all"] if left else []

    async def _not_passed(self, progress: Progress, gate: ParityGate, rows: list[asyncpg.Record]) -> list[str]:
        """A tenant that has passed is not asked again: that verdict holds whenever it is asked for (docs/parity.md)."""
        passed = sum(row["has_passed"] for row in rows)
        news, worse, open_ = [], [], []
        for row in self._next([row for row in rows if not row["has_passed"]]):
            tenant, recount = row["tenant_id"], _recount(row)
            report = await self._parity.report(_LEADER, tenant, recount=recount)
            if report.verdict is ParityVerdict.REGRESS:
                why = f"{tenant} does worse on temporal{_counted(recount)}: {'; '.join(report.reasons)}"
                anew = command("migration plan recount", progress.name, tenant=tenant)
                worse.append(f"{why}; or mend the cause, then {anew}")
            elif report.verdict is ParityVerdict.PASS and _samples(report) >= gate.samples:
                news.append(tenant)
            else:
                open_.append(_not_yet(report, gate.samples, _counted(recount)))
        if news:
            await self._db.execute(SQL.passed, progress.name, news)
        share = 100 * (passed + len(news)) / len(rows)
        if worse:
            return worse[:_NAMED]
        if share >= gate.tenants_percent:
            return []
        what = open_[0] if open_ else "the others are asked next"
        return [f"parity: {share:.0f} % of {len(rows)} tenants pass, {gate.tenants_percent:g} % must: {what}"]

    def _next(self, rows: list[asyncpg.Record]) -> list[asyncpg.Record]:
        """Who is asked this time; of many everybody has a turn."""
        start = self._asked % max(len(rows), 1)
        self._asked += _ASKED
        return (rows[start:] + rows[:start])[:_ASKED]


def _samples(report: Report) -> int:
    """Tasks that ended on the new engine since the move, or its recount."""
    return sum(one.sides.since.over for one in report.types)


def _not_yet(report: Report, samples: int, counted: str) -> str:
    if report.verdict is ParityVerdict.PASS:
        return f"{report.tenant_id}{counted}: {_samples(report)} tasks of {samples} have ended"
    return f"{report.tenant_id}{counted}: {report.verdict}, {'; '.join(report.reasons)}"


def _recount(row: asyncpg.Record) -> Recount | None:
    return None if row["counts_from"] is None else Recount(row["counts_from"], row["recounts"])


def _counted(recount: Recount | None) -> str:
    return "" if recount is None else f" (counted from {recount.at:%Y-%m-%d %H:%M} UTC)"
