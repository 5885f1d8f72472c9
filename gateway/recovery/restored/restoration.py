"""`recover`: makes a database that is behind its engines safe to start gateways on.

In this order, so that whatever dies in between, nothing starts unasked, and a repetition goes on:

1. the engines are asked what they know;
2. in one transaction: a row says that a recovery is open (no gateway and no worker starts then), all processes are
   retired, every unfinished task is held (also what was over and begun again in the gap), and every epoch is raised
   above any that was issued;
3. what lies in Redis is moved into PostgreSQL;
4. each unfinished task is judged by what the engines said; ends are merged;
5. the row says that it is finished.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from backends.errors import TaskgateError
from backends.port import WorkflowState
from backends.redis_queue import wire
from backends.redis_queue.engine import RedisQueueEngine
from backends.redis_queue.inventory import Found
from backends.temporal.engine import TemporalEngine
from gateway.audit.acts import Act, record
from gateway.recovery.lease import LOCK_CLASS
from gateway.recovery.mark import SQL as MARK_SQL
from gateway.recovery.mark import Mark
from gateway.recovery.restored.evidence import SQL, Evidence, Witnesses
from gateway.recovery.restored.verdicts import Start, Unfinished, Verdict, judge
from gateway.routing.stages import REDIS, TEMPORAL
from gateway.storage.database import Database
from gateway.tasks.queries.task_log import storable
from gateway.tasks.run_type import RUN_TYPE

log = logging.getLogger(__name__)

#: How far epochs are raised above every one that is known, plus so many for each second of the gap. A start is a commit
#: and a call of an engine, and its end another; of one task there are not 16 in a second.
MARGIN, PER_SECOND = 1 << 20, 16
#: The column and the wire are 32 bits wide; so many starts are left to each task after a recovery.
HIGHEST = 2**31 - 2**24
#: Raised for tasks that had begun, so that no report of a run of the gap can be one of a later run.
ATTEMPTS = 1000
PAGE = 500


class RecoveryRefused(TaskgateError):
    """The recovery cannot be done now; the message says why, and what to do."""

    code = "recovery_refused"


@dataclass(frozen=True, slots=True)
class Preview:
    """What a recovery would do. `living`: who works with the database, so that it would be refused."""

    last_write: datetime
    epoch_floor: int
    tasks: int
    unfinished: int
    processes: int
    payloads: int
    living: list[str]
    is_open: bool


@dataclass(slots=True)
class Report:
    """What a recovery did: tasks by verdict, and what the restored database did not know."""

    recovery_id: int
    last_write: datetime
    epoch_floor: int
    verdicts: dict[str, int] = field(default_factory=dict)
    unknown: int = 0
    """Tasks of the gap that are listed for a person."""
    ended_unknown: int = 0
    """Tasks of the gap that are over, and of which nothing is left but their effects."""
    schedules: list[str] = field(default_factory=list)
    """They were paused: their times in the gap may have fired."""


class Restoration:
    """Methods raise `RecoveryRefused`, `EngineError`, `LedgerUnwritable`, `DatabaseUnavailable`."""

    def __init__(
        self,
        database: Database,
        redis: RedisQueueEngine | None,
        temporal: TemporalEngine | None,
        *,
        lease_seconds: float,
    ) -> None:
        self._db = database
        self._redis = redis
        self._temporal = temporal
        self._witnesses = Witnesses(database, redis, temporal)
        self._lease_seconds = lease_seconds

    async def preview(self) -> Preview:
        """Changes nothing."""
        last_write, _, floor = await self._look()
        counts = await self._db.fetchrow(SQL.count)
        assert counts is not None
        payloads = 0
        if self._redis is not None:
            async for _ in self._redis.inventory.payloads():
                payloads += 1
        return Preview(
            last_write,
            floor,
            counts["tasks"],
            counts["unfinished"],
            counts["processes"],
            payloads,
            await self._living(),
            await self._db.fetchrow(SQL.open) is not None,
        )

    async def recover(self, *, by: str, why: str | None) -> Report:
        """Do it, or go on with the one that was begun."""
        if living := await self._living():
            raise RecoveryRefused(f"these work with the database: {', '.join(living)}; stop them first")
        last_write, evidence, floor = await self._look()
        starts = await self._witnesses.starts(evidence)
        report = await self._begin(last_write, floor, starts, by, why)
        if self._redis is not None:
            await self._redis.inventory.sweep(lambda page: self._keep(report.recovery_id, page))
        known = await self._judge_all(report.recovery_id, starts, evidence)
        await self._list_unknown(report, starts, known)
        await self._finish(report, by, why)
        return report

    # Private ------------------------------------------------------------------------------------------------

    async def _living(self) -> list[str]:
        rows = await self._db.fetch(SQL.living, LOCK_CLASS, self._lease_seconds)
        return [f"{row['kind']} {row['process_id']}" for row in rows]

    async def _look(self) -> tuple[datetime, Evidence, int]:
        """When the gap began, what engines remember, and the epoch that is above all."""
        row = await self._db.fetchrow(SQL.last_write)
        assert row is not None
        begun = await self._db.fetchrow(SQL.open)
        last_write = begun["last_write"] if begun is not None else row["at"] or row["now"]
        evidence = await self._witnesses.ask(last_write, row["now"])
        highest = max(await self._db.fetchval(SQL.highest_epoch), evidence.highest)
        if begun is not None and evidence.highest < begun["epoch_floor"]:
            return last_write, evidence, begun["epoch_floor"]
        floor = highest + MARGIN + PER_SECOND * int((row["now"] - last_write).total_seconds())
        if floor > HIGHEST:
            raise RecoveryRefused(f"epochs would reach {floor}, and may not pass {HIGHEST}; ask the maintainers")
        return last_write, evidence, floor

    async def _begin(
        self, last_write: datetime, floor: int, starts: Mapping[str, list[Start]], by: str, why: str | None
    ) -> Report:
        latest = {task_id: max(start.epoch for start in found) for task_id, found in starts.items()}
        async with self._db.transaction() as db:
            begun = await db.fetchrow(SQL.open)
            recovery_id = begun["recovery_id"] if begun else await db.fetchval(SQL.begin, by, why, last_write, floor)
            floor = await db.fetchval(SQL.raise_floor, recovery_id, floor)
            await db.execute(SQL.retire)
            await db.execute(SQL.drop_duties)
            await db.execute(SQL.reopen, list(latest), list(latest.values()))
            await db.execute(SQL.note_unfinished, recovery_id)
            await db.execute(SQL.hold, ATTEMPTS)
            await db.execute(SQL.end_attempts)
            await db.execute(SQL.reserve)
            await db.execute(SQL.raise_epochs, floor)
            paused = await db.fetch(SQL.pause_schedules, recovery_id, last_write)
            detail = {"last_write": last_write.isoformat(), "epoch_floor": floor, "schedules": len(paused)}
            await record(db, Act("recovery.begin", f"recovery:{recovery_id}", by, why, detail=detail, source="command"))
        return Report(recovery_id, last_write, floor, schedules=[row["schedule_id"] for row in paused])

    async def _keep(self, recovery_id: int, page: Sequence[Found]) -> list[tuple[Found, str]]:
        """Store what is a task that PostgreSQL does not know; of a known one the row is enough."""
        kept: dict[str, tuple[int, str, str, str]] = {}
        refused = []
        for found in page:
            try:
                message = wire.decode(found.payload)
                group, text = found.group.decode(), found.payload.decode()
            except (wire.NotATask, UnicodeDecodeError) as error:
                refused.append((found, str(error) if isinstance(error, wire.NotATask) else "not UTF-8"))
                continue
            if not (storable(text) and storable(group)) or "\\u0000" in text:
                refused.append((found, "it cannot be stored"))
                continue
            group = group or str(message.payload.get("group_id") or message.payload.get("task_group_id") or "")
            kept.setdefault(message.task_id, (message.epoch or 0, group, message.task_type, text))
        if kept:
            columns = [list(column) for column in zip(*kept.values(), strict=True)]
            await self._db.execute(SQL.keep_unknown, recovery_id, list(kept), *columns)
        return refused

    async def _judge_all(self, recovery_id: int, starts: Mapping[str, list[Start]], evidence: Evidence) -> set[str]:
        """Judge each unfinished task; their ids."""
        judged: set[str] = set()
        after = ""
        while rows := await self._db.fetch(SQL.to_judge, recovery_id, after, PAGE, RUN_TYPE):
            await self._judge(rows, starts, evidence)
            judged.update(row["task_id"] for row in rows)
            after = rows[-1]["task_id"]
        return judged

    async def _judge(
        self, rows: Sequence[asyncpg.Record], starts: Mapping[str, list[Start]], evidence: Evidence
    ) -> None:
        tasks = [
            (
                Unfinished(
                    row["task_id"],
                    row["state"],
                    row["backend"],
                    row["epoch"],
                    row["is_of_run"],
                    is_run=row["task_type"] == RUN_TYPE,
                ),
                row["group_id"],
                row["task_type"],
            )
            for row in rows
        ]
        direct = await self._witnesses.ask_directly(tasks, dict(starts))
        verdicts, open_starts = [], []
        for task, _, _ in tasks:
            told = direct.get(task.task_id, [])
            first_hand = {start.epoch for start in told}
            seen = [
                start
                for start in starts.get(task.task_id, [])
                if start.backend != TEMPORAL or start.epoch not in first_hand
            ]
            finding = judge(task, [*seen, *told], forgetful=evidence.forgetful)
            verdicts.append((task.task_id, finding.verdict.value, finding.found))
            open_starts += [start for start in told if start.state is not None and not start.state.is_terminal]
        await self._db.execute(SQL.note_verdicts, *(list(column) for column in zip(*verdicts, strict=True)))
        await self._owe_cancels(open_starts)

    async def _owe_cancels(self, starts: Sequence[Start]) -> None:
        if starts:
            await self._db.execute(
                SQL.owe_cancels, [s.task_id for s in starts], [s.backend for s in starts], [s.epoch for s in starts]
            )

    async def _list_unknown(self, report: Report, starts: Mapping[str, list[Start]], judged: set[str]) -> None:
        """Tasks of the gap whose payloads are in no list; those that are over are counted, and kept out for good."""
        candidates = {task_id: found for task_id, found in starts.items() if task_id not in judged}
        rows = []
        for first in range(0, len(candidates), PAGE):
            page = list(candidates)[first : first + PAGE]
            known = {row["task_id"] for row in await self._db.fetch(SQL.known, page)}
            for task_id in page:
                if task_id in known:
                    continue
                last = max(candidates[task_id], key=lambda start: start.epoch)
                if last.state is not None and last.state.is_terminal:
                    report.ended_unknown += 1
                    is_done = last.state is WorkflowState.COMPLETED
                    verdict, where = (Verdict.COMPLETED, "completed") if is_done else (Verdict.FAILED, "ended")
                    where = f"{last.backend} {where} it in the gap"
                else:
                    verdict = Verdict.UNDECIDED
                    where = "its payload is in none of redis's lists" if last.backend == REDIS else "temporal has it"
                rows.append((task_id, last.backend, last.epoch, verdict.value, where))
            open_there = [s for task_id in page if task_id not in known for s in candidates[task_id]]
            await self._owe_cancels(
                [s for s in open_there if s.backend == TEMPORAL and s.state is not None and not s.state.is_terminal]
            )
        if rows:
            columns = [list(column) for column in zip(*rows, strict=True)]
            await self._db.execute(SQL.keep_without_payload, report.recovery_id, *columns)

    async def _finish(self, report: Report, by: str, why: str | None) -> None:
        remembered = await Mark(self._db, self._redis).remembered() if self._redis is not None else 0
        async with self._db.transaction() as db:
            # Runs lie in runs: each pass takes one level.
            while await db.fetch(SQL.keep_results, report.recovery_id):
                pass
            await db.execute(SQL.apply, report.recovery_id)
            rows = await db.fetch(SQL.verdicts, report.recovery_id)
            found = {row["verdict"]: row["tasks"] for row in rows}
            report.verdicts = {verdict.value: found.get(verdict.value, 0) for verdict in Verdict}
            report.unknown = await db.fetchval(SQL.count_unknown, report.recovery_id)
            await db.execute(SQL.finish, report.recovery_id)
            await db.execute(MARK_SQL.catch_up, remembered)
            detail = {**report.verdicts, "unknown": report.unknown, "ended_unknown": report.ended_unknown}
            subject = f"recovery:{report.recovery_id}"
            await record(db, Act("recovery.finish", subject, by, why, detail=detail, source="command"))
