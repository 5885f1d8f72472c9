"""What a look found out about tasks, and how it is kept: counts by the hour, and the newest verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from backends.rehearsal import Objection
from gateway.migration.rehearsal.reasons import RehearsalVerdict, verdict_of
from gateway.storage.database import Database, type_Connection
from gateway.storage.queries import Queries

SQL: Final = Queries("gateway.migration.rehearsal", "rehearsal.sql")

#: Verdicts of a tenant that are kept, of each kind.
KEPT: Final = 100
#: How counts of reasons are named, beside those of verdicts.
OF_REASON: Final = "reason:"
OF_PROBE: Final = "probe:"


@dataclass(frozen=True, slots=True)
class Finding:
    """Of one task. `tenant_id` '': it is nobody's."""

    task_id: str
    tenant_id: str
    task_type: str
    stage: str
    objections: Sequence[Objection]

    @property
    def verdict(self) -> RehearsalVerdict:
        return verdict_of([one.code for one in self.objections])


class Findings:
    """Writes through `database`; methods raise `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def leave_out(self, most: int) -> int:
        """Give up on all but the newest `most` tasks that wait to be looked at; how many that were."""
        async with self._db.acquire() as connection:
            rows = await connection.fetch(SQL.leave_out, most)
            await count(
                connection,
                Counter(
                    {(row["tenant_id"], row["task_type"], RehearsalVerdict.LEFT_OUT): row["tasks"] for row in rows}
                ),
            )
        return sum(row["tasks"] for row in rows)

    async def keep(self, findings: Sequence[Finding]) -> None:
        """Keep them, and take their tasks out of those that wait: all of it or nothing."""
        counts: Counter[tuple[str, str, str]] = Counter()
        for one in findings:
            counts[one.tenant_id, one.task_type, one.verdict] += 1
            for code in {objection.code for objection in one.objections}:
                counts[one.tenant_id, one.task_type, OF_REASON + code] += 1
        async with self._db.acquire() as connection:
            await connection.execute(SQL.done, [one.task_id for one in findings])
            await count(connection, counts)
            await connection.execute(
                SQL.keep_verdicts,
                [one.task_id for one in findings],
                [one.tenant_id for one in findings],
                [one.task_type for one in findings],
                [one.stage for one in findings],
                [one.verdict for one in findings],
                [_reasons(one) for one in findings],
            )
            await connection.execute(SQL.trim_verdicts, sorted({one.tenant_id for one in findings}), KEPT)


async def count(connection: type_Connection, counts: Counter[tuple[str, str, str]]) -> None:
    """Add to the counts of this hour, by tenant, type and what is counted."""
    if counts:
        tenants, types, what = zip(*counts, strict=True)
        await connection.execute(SQL.count, list(tenants), list(types), list(what), list(counts.values()))


def _reasons(finding: Finding) -> str:
    return orjson.dumps([{"code": one.code, "detail": one.detail} for one in finding.objections]).decode()
