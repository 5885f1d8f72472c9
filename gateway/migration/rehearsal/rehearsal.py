"""`Rehearsal`: looks at each task that a tenant at `dualwrite` or `shadow` started on Redis (docs/rehearsal.md)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

import asyncpg

from backends.errors import EngineUnavailable
from backends.rehearsal import Objection
from gateway.migration.rehearsal.comparisons import Comparisons
from gateway.migration.rehearsal.findings import SQL, Finding, Findings
from gateway.migration.rehearsal.probes import PlannedProbe, Probes
from gateway.migration.rehearsal.reasons import RehearsalVerdict
from gateway.migration.rehearsal.start_check import StartCheck, query_of
from gateway.routing.router import Router
from gateway.routing.stages import Stage
from gateway.storage.database import Database
from gateway.storage.forgetting import forget

log = logging.getLogger(__name__)

#: Tasks of one look.
PAGE: Final = 100
#: A payload of this many bytes in `task_logs` has a third at least on the way to Temporal: JSON in ASCII.
ESCAPED: Final = 4
#: After each look it rests this many times as long as the look took: submits come first.
REST: Final = 4


class Rehearsal:
    """Belongs to the leader. `probes` None: there is no engine to be probed. `most_waiting`: tasks that may wait to be
    looked at. `inline_bytes`: larger payloads go by reference, and are not read.
    """

    def __init__(
        self,
        database: Database,
        check: StartCheck,
        probes: Probes | None,
        router: Router,
        comparisons: Comparisons,
        *,
        most_waiting: int,
        inline_bytes: int,
    ) -> None:
        self._db = database
        self._check = check
        self._probes = probes
        self._router = router
        self._comparisons = comparisons
        self._findings = Findings(database)
        self._most_waiting = most_waiting
        self._payload_bytes = ESCAPED * inline_bytes

    async def tick(self) -> None:
        """Look at all that waits. Raises `DatabaseUnavailable`."""
        while True:
            began = time.monotonic()
            if left_out := await self._findings.leave_out(self._most_waiting):
                log.warning("%d tasks were not rehearsed: there were too many", left_out)
            if await self.look() < PAGE:
                return
            await asyncio.sleep(REST * (time.monotonic() - began))

    async def look(self) -> int:
        """Look at one page; how many tasks that were."""
        rows = await self._db.fetch(SQL.page, PAGE, self._payload_bytes)
        if not rows:
            return 0
        findings = await self._find(rows)
        await self._findings.keep(findings)
        probed = await self._probe(rows, findings)
        for row, finding in zip(rows, findings, strict=True):
            if finding.verdict is not RehearsalVerdict.UNKNOWN and finding.task_id not in probed:
                self._comparisons.record(query_of(row), is_consistent=finding.verdict is RehearsalVerdict.READY)
        return len(rows)

    async def _probe(self, rows: Sequence[asyncpg.Record], findings: Sequence[Finding]) -> frozenset[str]:
        """Send probes beside ready tasks whose tenant is still at `shadow`; beside which."""
        probes = self._probes
        if probes is None:
            return frozenset()
        chosen = [
            PlannedProbe(self._check.start_of(row), by_reference=row["payload"] is None)
            for row, finding in zip(rows, findings, strict=True)
            if row["stage"] == Stage.SHADOW
            and finding.verdict is RehearsalVerdict.READY
            and self._router.route(query_of(row)).stage is Stage.SHADOW
            and probes.wants(row["task_id"], row["of_tenant"])
        ]
        await probes.send(chosen)
        return frozenset(one.start.ref.task_id for one in chosen)

    async def _find(self, rows: Sequence[asyncpg.Record]) -> list[Finding]:
        together = Counter(row["group_id"] for row in rows if not row["row_gone"])
        found, is_away = [], False
        for row in rows:
            objections: list[Objection] = []
            if is_away:
                objections.append(Objection("temporal_away"))
            else:
                try:
                    objections += await self._check.check(row)
                except EngineUnavailable as error:
                    is_away = True
                    objections.append(Objection("temporal_away", error.message[:300]))
            if together[row["group_id"]] > 1:
                objections.append(Objection("group_order", row["group_id"]))
            found.append(Finding(row["task_id"], row["of_tenant"], row["task_type"], row["stage"], objections))
            await asyncio.sleep(0)
        return found

    async def forget(self, days: int) -> None:
        """Forget what is older than `days`."""
        await forget(self._db, SQL.forget_counts, days)
        await forget(self._db, SQL.forget_verdicts, days)
        if self._probes is not None:
            await self._probes.forget(days)
