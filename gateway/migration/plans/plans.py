"""Plans for people: written, checked, started, and steered."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import asyncpg

from gateway.access.placement import Tier
from gateway.errors import InvalidRequest
from gateway.migration.command import command
from gateway.migration.drain.verdict import counted
from gateway.migration.guardrails.store import SQL as GUARD_SQL
from gateway.migration.plans.checking import PlanChecker, Written
from gateway.migration.plans.document import Plan
from gateway.migration.plans.errors import PlanInvalid, PlanNotFound, PlanRefused, PlanStale
from gateway.migration.plans.progress import ACTIVE, OVER, SQL, PlanState, Progress, progress_of, write
from gateway.migration.plans.requests import Act, ActOnPlan
from gateway.migration.plans.validation import Checked, World
from gateway.migration.plans.view import checked_view, plan_view, recount_view, summary_of
from gateway.routing.overrides import Executor
from gateway.storage.database import Database, type_Connection

Json = dict[str, Any]

#: Plans in a list, and steps of one that are shown.
MOST_LISTED: Final = 200
MOST_STEPS: Final = 50

_BEGUN: Final = (*ACTIVE, PlanState.PAUSED)


class Plans:
    """For administrators, which the faces see to. Every method raises `DatabaseUnavailable`."""

    def __init__(
        self, database: Database, checker: PlanChecker, *, now: Callable[[], Awaitable[datetime]] | None = None
    ) -> None:
        """`checker` reads the texts; `now` is the database's clock, unless a test has its own."""
        self._db = database
        self._checker = checker
        self._now = now

    async def list(self) -> list[Json]:
        """The newest plans, without their steps."""
        rows = [progress_of(row) for row in await self._db.fetch(SQL.plans, MOST_LISTED)]
        counts: dict[str, list[asyncpg.Record]] = {one.name: [] for one in rows}
        for row in await self._db.fetch(SQL.counts_of_all, [*counts]):
            counts[row["plan"]].append(row)
        return [plan_view(one, await self._summary(one), counts[one.name], None) for one in rows]

    async def get(self, name: str) -> Json:
        """One plan, with its document and newest steps. Raises `PlanNotFound`."""
        row = None if "\0" in name else await self._db.fetchrow(SQL.plan, name)
        if row is None:
            raise PlanNotFound(f"there is no plan {name!r}")
        progress, checked, faults = progress_of(row), None, []
        if progress.state is PlanState.DRAFT:
            try:
                checked = await self._check(self._db, progress.document, name)
            except PlanInvalid as error:
                faults = [fault.as_dict() for fault in error.faults]
        recounted = await self._db.fetch(SQL.recounted, name)
        steps = await self._db.fetch(SQL.history, name, MOST_STEPS)
        return {
            **plan_view(progress, await self._summary(progress), await self._db.fetch(SQL.counts, name), checked),
            "document": progress.document,
            "faults": faults,
            "recounts": [recount_view(row) for row in recounted],
            "steps": [{**dict(row), "evidence": json.loads(row["evidence"])} for row in steps],
        }

    async def text(self, written: Written) -> str:
        """The plan as it is stored. Raises `PlanInvalid` for what does not fit the schema."""
        return (await self._checker.read(written)).text

    async def check(self, text: str, name: str | None = None) -> Checked:
        """Whom each wave of this text would move; `name`: what it is to call itself. Raises `PlanInvalid`."""
        read = await self._checker.read(Written.of(text))
        return await self._check(self._db, read.text, name, read.plan.name)

    async def validate(self, written: Written) -> Json:
        """What is wrong with it, all of it, and whom each wave would move."""
        try:
            read = await self._checker.read(written)
            return checked_view(await self._check(self._db, read.text, None, read.plan.name))
        except PlanInvalid as error:
            return {"valid": False, "faults": [fault.as_dict() for fault in error.faults], "notes": [], "waves": []}

    async def put(self, who: str, name: str, written: Written, based_on: int | None) -> Json:
        """Write a draft, or replace one; `based_on`: the version that was seen, None: whatever there is.

        Raises `PlanInvalid`, `PlanRefused` once it was started, `PlanStale`, `LedgerUnwritable`.
        """
        if b"\0" in written.text:
            raise InvalidRequest("NUL characters cannot be stored.", field="document")
        text = await self.text(written)  # nobody waits for what is no plan
        async with self._db.transaction() as db:
            await db.execute(SQL.lock)
            checked = await self._check(db, text, name)
            row = await db.fetchrow(SQL.plan_for_change, name)
            before = None if row is None else progress_of(row)
            if before is not None and before.state is not PlanState.DRAFT:
                raise PlanRefused(_not_edited(before))
            version = 0 if before is None else before.version
            if based_on not in (None, version):
                raise PlanStale(f"plan {name} has version {version}, this change is based on {based_on}: look again")
            says = f"a draft of {counted(len(checked.waves), 'wave')}; {command('migration plan start', name)}"
            await db.execute(SQL.put_draft, name, text, says, who, json.dumps(summary_of(checked.plan)))
            draft = await db.fetchrow(SQL.plan, name)
            assert draft is not None
            await write(db, progress_of(draft), who, f"written: {checked.plan.why}")
        return await self.get(name)

    async def act(self, who: str, name: str, asked: ActOnPlan) -> Json:
        """Raises `PlanNotFound`, `PlanRefused`, `PlanInvalid`, `LedgerUnwritable`."""
        if "\0" in name:
            raise PlanNotFound
        async with self._db.transaction() as db:
            await db.execute(SQL.lock)
            row = await db.fetchrow(SQL.plan_for_change, name)
            if row is None:
                raise PlanNotFound(f"there is no plan {name!r}")
            progress = progress_of(row)
            facts: Json = {"act": asked.act}
            match asked.act:
                case Act.START:
                    after = await self._start(db, progress, who)
                case Act.PAUSE:
                    _allow(progress, ACTIVE, "paused")
                    after = replace(progress, state=PlanState.PAUSED, says=f"{who} paused it: {asked.why}")
                case Act.RESUME:
                    after = await self._resume(db, progress, who, asked)
                case Act.SKIP:
                    after = await self._skip(db, progress, who, asked)
                    facts["tenant_id"] = asked.tenant_id
                case Act.APPROVE:
                    after = await self._approve(db, progress, who, asked)
                case Act.RECOUNT:
                    after = progress
                    facts |= await self._recount(db, progress, who, asked)
                case Act.ABORT:
                    _allow(progress, (*_BEGUN, PlanState.DRAFT, PlanState.ROLLING_BACK), "aborted")
                    says = f"{who} aborted it, and who was moved stays: {asked.why}"
                    after = replace(progress, state=PlanState.ABORTED, says=says, ended_at=await self._time(db))
                case Act.ROLLBACK:
                    after = await _roll_back(db, progress, asked)
            await write(db, after, who, f"{asked.act}: {asked.why}", facts)
        return await self.get(name)

    async def _start(self, db: type_Connection, progress: Progress, who: str) -> Progress:
        _allow(progress, (PlanState.DRAFT,), "started")
        checked = await self._check(db, progress.document, progress.name)
        turns = [(one, wave, turn) for wave, names in enumerate(checked.waves) for turn, one in enumerate(names)]
        columns = ([turn[n] for turn in turns] for n in range(3))
        await db.execute(SQL.add_tenants, progress.name, *columns)
        says = f"{checked.plan.title_of(0)} begins"
        return replace(progress, state=PlanState.RUNNING, says=says, started_by=who, started_at=await self._time(db))

    async def _resume(self, db: type_Connection, progress: Progress, who: str, asked: ActOnPlan) -> Progress:
        """A wave that was baking bakes anew."""
        _allow(progress, (PlanState.PAUSED,), "resumed")
        await db.execute(SQL.unpass, progress.name, progress.wave)
        moved_at = None if progress.moved_at is None else await self._time(db)
        says = f"{who} resumed it: {asked.why}"
        return replace(progress, state=progress.resumed, moved_at=moved_at, says=says)

    async def _approve(self, db: type_Connection, progress: Progress, who: str, asked: ActOnPlan) -> Progress:
        _allow(progress, _BEGUN, "approved")
        _check_wave(progress, asked.wave)
        plan = await self._checker.stored(progress.document)
        title = plan.title_of(progress.wave)
        if not plan.gates_of(progress.wave).approval:
            raise PlanRefused(f"{title} asks for no approval; nothing waits for you")
        if progress.approved_by is not None:
            raise PlanRefused(
                f"{title} was approved by {progress.approved_by} at {progress.approved_at:%Y-%m-%d %H:%M} UTC already;"
                " once is enough"
            )
        return replace(progress, approved_by=who, approved_at=await self._time(db))

    async def _recount(self, db: type_Connection, progress: Progress, who: str, asked: ActOnPlan) -> Json:
        """What ended before now counts no more at the gate. Returns what the ledger is told."""
        _allow(progress, _BEGUN, "counted anew")
        tenant = asked.tenant_id
        row = await db.fetchrow(SQL.tenant, progress.name, tenant)
        if row is None:
            raise PlanRefused(f"{tenant} is not in plan {progress.name}")
        if row["state"] in ("waiting", "moving"):
            raise PlanRefused(f"{tenant} has not been moved yet: nothing of it is counted")
        plan = await self._checker.stored(progress.document)
        if (why := _no_gate_waits(row, progress, plan)) is not None:
            raise PlanRefused(f"no gate waits for {tenant}: {why}")
        now = await db.fetchrow(SQL.recount, progress.name, tenant, who, asked.why)
        assert now is not None
        return {"tenant_id": tenant, "counts_from": now["counts_from"].isoformat(), "recounts": now["recounts"]}

    async def _skip(self, db: type_Connection, progress: Progress, who: str, asked: ActOnPlan) -> Progress:
        _allow(progress, _BEGUN, "changed")
        _check_wave(progress, asked.wave)
        if asked.tenant_id is not None:
            row = await db.fetchrow(SQL.skip_tenant, progress.name, asked.tenant_id)
            if row is None:
                raise PlanRefused(f"{asked.tenant_id} is not in plan {progress.name}, or was skipped already")
            return progress
        plan = await self._checker.stored(progress.document)
        await db.execute(SQL.skip_wave, progress.name, progress.wave)
        title = plan.title_of(progress.wave)
        if progress.wave + 1 == len(plan.waves):
            raise PlanRefused(f"{title} is the last one: abort the plan instead, who was moved stays")
        ahead = progress.in_wave(progress.wave + 1)
        state = PlanState.PAUSED if progress.state is PlanState.PAUSED else PlanState.RUNNING
        says = f"{who} skipped {title}: {asked.why}; {plan.title_of(ahead.wave)} begins"
        return replace(ahead, state=state, says=says, is_troubled=False)

    async def _summary(self, progress: Progress) -> Mapping[str, Any]:
        """Of a plan that a release without summaries wrote, the document is read."""
        return progress.summary or summary_of(await self._checker.stored(progress.document))

    async def _check(self, db: Executor, text: str, name: str | None, own: str | None = None) -> Checked:
        """`own`: the plan itself, which is no rival of its own; None: `name`."""
        own = own or name or ""
        rows = await db.fetch(SQL.taken, own)
        taken = {row["tenant_id"]: row["plan"] for row in rows}
        over = frozenset(row["plan"] for row in rows if row["is_over"])
        others = [progress_of(row) for row in await db.fetch(SQL.others_under_way, own)]
        sharing = [one.name for one in others if _shares(await self._summary(one))]
        tiers = {row["id"]: Tier.of_plan(row["plan"]) for row in await db.fetch(GUARD_SQL.tenants)}
        return await self._checker.check(
            text, World(await self._time(db), tiers, taken, next(iter(sharing), None), over), name
        )

    async def _time(self, db: Executor) -> datetime:
        if self._now is not None:
            return await self._now()
        row = await db.fetchrow(SQL.now)
        assert row is not None
        now: datetime = row["now"]
        return now


async def _roll_back(db: type_Connection, progress: Progress, asked: ActOnPlan) -> Progress:
    _allow(progress, (*_BEGUN, *OVER), "rolled back")
    taken = {row["tenant_id"]: row["plan"] for row in await db.fetch(SQL.taken, progress.name)}
    for row in await db.fetch(SQL.to_take_back, progress.name, 2**31 - 1):
        if row["tenant_id"] in taken:
            other = taken[row["tenant_id"]]
            raise PlanRefused(f"plan {other} moves {row['tenant_id']} now: end that one first")
    if progress.started_at is None:
        raise PlanRefused(f"plan {progress.name} was never started: it has moved nobody")
    return replace(progress, state=PlanState.ROLLING_BACK, says=asked.why, ended_at=None)


def _allow(progress: Progress, states: tuple[PlanState, ...], what: str) -> None:
    if progress.state not in states:
        raise PlanRefused(f"plan {progress.name} is {progress.state} and cannot be {what}: {progress.says}")


def _check_wave(progress: Progress, wave: int | None) -> None:
    if wave is not None and wave != progress.wave + 1:
        raise PlanRefused(f"plan {progress.name} is in wave {progress.wave + 1}, not {wave}; look again")


def _no_gate_waits(row: asyncpg.Record, progress: Progress, plan: Plan) -> str | None:
    """Why a count of this tenant decides nothing; None: the parity gate of its wave asks for it."""
    title = plan.title_of(row["wave"])
    if row["state"] != "moved":
        return "the plan left it where it stood" if row["state"] == "left" else "it was taken back"
    if row["is_skipped"]:
        return "it was skipped"
    if row["wave"] != progress.wave:
        return f"{title} is over"
    if plan.gates_of(row["wave"]).parity is None:
        return f"{title} asks for no parity"
    return "it has passed" if row["has_passed"] else None


def _not_edited(progress: Progress) -> str:
    if progress.state in OVER:
        return f"plan {progress.name} is {progress.state}; give the new one another name"
    abort = command("migration plan abort", progress.name)
    return (
        f"plan {progress.name} is {progress.state}, and what it says is not changed under way: skip tenants or waves of"
        f" it, or abort it ({abort}), and write another plan for the rest"
    )


def _shares(summary: Mapping[str, Any]) -> bool:
    return any(wave["tasks_percent"] is not None for wave in summary["waves"])
