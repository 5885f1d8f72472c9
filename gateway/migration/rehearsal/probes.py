"""`Probes`: sends some tasks of tenants at `shadow` to Temporal's workers as questions, and collects the answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from zlib import crc32

import asyncpg

from backends.errors import (
    CapabilityMissing,
    EngineError,
    EngineUnavailable,
    StartRefused,
    StartUncertain,
    WorkflowNotFound,
)
from backends.port import WorkflowStart
from backends.rehearsal import ProbeAnswer, RehearsalPort
from gateway.migration.rehearsal.comparisons import Comparisons
from gateway.migration.rehearsal.findings import OF_PROBE, count
from gateway.migration.rehearsal.probe_outcomes import OUTCOMES, ProbeOutcome
from gateway.migration.rehearsal.reasons import Weight
from gateway.migration.rehearsal.start_check import query_of
from gateway.storage.database import Database
from gateway.storage.forgetting import forget
from gateway.storage.queries import Queries
from gateway.tasks.lifecycle.transitions import storable_text

log = logging.getLogger(__name__)
SQL: Final = Queries("gateway.migration.rehearsal", "probes.sql")

#: Probes of all tenants that are under way, at most.
MOST_UNDER_WAY: Final = 100
#: Engine calls at once.
AT_ONCE: Final = 8
#: Probes of a tenant that are kept.
KEPT: Final = 500
#: A probe whose end nobody tells is given up so long after it should have ended (seconds).
PATIENCE: Final = 60.0
#: Tenants whose last probe is remembered, at most.
_MOST_TENANTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class PlannedProbe:
    """A probe beside this start. `by_reference`: the payload is too large, and was not read here."""

    start: WorkflowStart
    by_reference: bool


class Probes:
    """Belongs to the leader. `percent` of a tenant's tasks are probed, at most `per_second` of them; a worker has
    `wait` to take one.
    """

    def __init__(
        self,
        database: Database,
        engine: RehearsalPort,
        comparisons: Comparisons,
        *,
        percent: float,
        per_second: float,
        wait: timedelta,
    ) -> None:
        self._db = database
        self._engine = engine
        self._comparisons = comparisons
        self._percent = percent
        self._pause = 1 / per_second
        self._wait = wait
        self._next_at: dict[str, float] = {}

    def wants(self, task_id: str, tenant_id: str) -> bool:
        """Whether this task is one of the sample, and the tenant may have a probe now; it counts as sent then."""
        if crc32(task_id.encode()) % 10_000 >= self._percent * 100:
            return False
        now = time.monotonic()
        # Those of one second may come at once: a look brings many tasks together.
        due = self._next_at.get(tenant_id, 0.0)
        if now < due - max(1.0 - self._pause, 0.0):
            return False
        if len(self._next_at) >= _MOST_TENANTS:
            self._next_at.clear()
        self._next_at[tenant_id] = max(now, due) + self._pause
        return True

    async def send(self, planned: Sequence[PlannedProbe]) -> None:
        """Send them, as far as there is room. Raises `DatabaseUnavailable`."""
        if not planned:
            return
        room = MOST_UNDER_WAY - len(await self._db.fetch(SQL.under_way, MOST_UNDER_WAY))
        chosen = {one.start.ref.task_id: one for one in planned[: max(room, 0)]}
        rows = await self._db.fetch(
            SQL.send,
            list(chosen),
            [one.start.tenant_id or "" for one in chosen.values()],
            [one.start.ref.task_type for one in chosen.values()],
            [one.start.queue for one in chosen.values()],
        )
        limit = asyncio.Semaphore(AT_ONCE)

        async def send_one(one: PlannedProbe) -> ProbeAnswer | None:
            async with limit:
                return await self._send(one)

        sent = [chosen[row["task_id"]] for row in rows]
        answers = await asyncio.gather(*(send_one(one) for one in sent))
        await self._keep(
            {
                one.start.ref.task_id: (one.start.tenant_id or "", one.start.ref.task_type, answer)
                for one, answer in zip(sent, answers, strict=True)
                if answer is not None
            }
        )

    async def tick(self) -> None:
        """Collect answers. Raises `DatabaseUnavailable`."""
        rows = await self._db.fetch(SQL.under_way, MOST_UNDER_WAY)
        limit = asyncio.Semaphore(AT_ONCE)

        async def ask(row: asyncpg.Record) -> ProbeAnswer | None:
            async with limit:
                return await self._ask(row)

        answers = await asyncio.gather(*(ask(row) for row in rows))
        await self._keep(
            {
                row["task_id"]: (row["tenant_id"], row["task_type"], answer)
                for row, answer in zip(rows, answers, strict=True)
                if answer is not None
            }
        )
        for row, answer in zip(rows, answers, strict=True):
            if answer is not None:
                self._compare(row, _known(answer))

    def _compare(self, row: asyncpg.Record, answer: ProbeAnswer) -> None:
        """Of a probe that was answered, well or badly."""
        known = OUTCOMES[answer.outcome]
        if known is None or known.weight is Weight.PROBLEM:
            self._comparisons.record(
                query_of(row),
                is_consistent=known is None,
                redis=row["redis_queue_seconds"],
                temporal=answer.queue_seconds,
            )

    async def forget(self, days: int) -> None:
        """Forget what is older than `days`."""
        await forget(self._db, SQL.forget, days)

    async def _send(self, one: PlannedProbe) -> ProbeAnswer | None:
        """None: it is under way, or may be."""
        try:
            await self._engine.send_probe(one.start, wait=self._wait, by_reference=one.by_reference)
        except CapabilityMissing as error:
            return ProbeAnswer(ProbeOutcome.UNSUPPORTED, error.message[:300])
        except StartRefused as error:
            return ProbeAnswer(ProbeOutcome.REFUSED, error.message[:300])
        except EngineUnavailable as error:
            return ProbeAnswer(ProbeOutcome.TEMPORAL_AWAY, error.message[:300])
        except StartUncertain:
            log.debug("the probe beside task %s may be sent or not; its answer will tell", one.start.ref.task_id)
        return None

    async def _ask(self, row: asyncpg.Record) -> ProbeAnswer | None:
        is_late = row["age"] > self._wait.total_seconds() + PATIENCE
        try:
            answer = await self._engine.probe_answer(row["task_id"])
        except WorkflowNotFound:
            return ProbeAnswer(ProbeOutcome.NOT_SENT)
        except EngineUnavailable as error:
            return ProbeAnswer(ProbeOutcome.TEMPORAL_AWAY, error.message[:300]) if is_late else None
        except EngineError as error:
            log.warning("the answer to the probe beside task %s cannot be read: %s", row["task_id"], error.message)
            return ProbeAnswer(ProbeOutcome.LOST, error.code) if is_late else None
        return ProbeAnswer(ProbeOutcome.LOST) if answer is None and is_late else answer

    async def _keep(self, answers: Mapping[str, tuple[str, str, ProbeAnswer]]) -> None:
        """Of these tasks: tenant, type, and how the probe ended."""
        if not answers:
            return
        known = [(task, tenant, kind, _known(answer)) for task, (tenant, kind, answer) in answers.items()]
        counts = Counter((tenant, kind, OF_PROBE + answer.outcome) for _, tenant, kind, answer in known)
        async with self._db.acquire() as connection:
            await connection.execute(
                SQL.answer,
                [task for task, *_ in known],
                *(
                    [getattr(answer, name) for *_, answer in known]
                    for name in ("outcome", "detail", "queue_seconds", "decode_seconds", "run_seconds", "worker_id")
                ),
            )
            await count(connection, counts)
            await connection.execute(SQL.trim, sorted({tenant for _, tenant, _, _ in known}), KEPT)


def _known(answer: ProbeAnswer) -> ProbeAnswer:
    """A newer worker may name an outcome of its own; what a handler raises may be any text."""
    if answer.outcome not in OUTCOMES:
        return ProbeAnswer("not_understood", storable_text(answer.outcome[:300]))
    worker_id = answer.worker_id and storable_text(answer.worker_id)
    return replace(answer, detail=storable_text(answer.detail), worker_id=worker_id)
