"""Starts of some tasks on Temporal, compiled as the rehearsal does it (docs/rehearsal.md)."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence

from backends.errors import EngineUnavailable
from gateway.migration.preview.child import SQL
from gateway.migration.rehearsal.reasons import REASONS, RehearsalVerdict, verdict_of
from gateway.migration.rehearsal.rehearsal import ESCAPED
from gateway.migration.rehearsal.start_check import StartCheck
from gateway.routing.flag_document import Json
from gateway.storage.database import Database

#: Tasks whose payloads are in memory at once.
_PAGE = 50


class Compiled:
    """`inline_bytes`: larger payloads go by reference, and are not read."""

    def __init__(self, database: Database, check: StartCheck, *, inline_bytes: int) -> None:
        self._db = database
        self._check = check
        self._payload_bytes = ESCAPED * inline_bytes

    async def look(self, task_ids: Sequence[str]) -> Json:
        """Verdicts, and the reasons for them. Raises `DatabaseUnavailable`."""
        verdicts: Counter[str] = Counter()
        tasks: Counter[str] = Counter()
        types: dict[str, set[str]] = defaultdict(set)
        for begin in range(0, len(task_ids), _PAGE):
            for row in await self._db.fetch(SQL.to_compile, task_ids[begin : begin + _PAGE], self._payload_bytes):
                try:
                    codes = list(dict.fromkeys(one.code for one in await self._check.check(row)))
                except EngineUnavailable:
                    codes = ["temporal_away"]
                verdicts[verdict_of(codes)] += 1
                for code in codes:
                    tasks[code] += 1
                    types[code].add(row["task_type"])
                await asyncio.sleep(0)
                if codes == ["temporal_away"]:
                    break
        reasons = [
            {
                "code": code,
                "weight": REASONS[code].weight,
                "meaning": REASONS[code].meaning,
                "advice": REASONS[code].advice,
                "tasks": tasks[code],
                "task_types": sorted(types[code])[:20],
            }
            for code in REASONS
            if tasks[code]
        ]
        verdict = {
            str(one): verdicts[one]
            for one in (RehearsalVerdict.READY, RehearsalVerdict.NOT_READY, RehearsalVerdict.UNKNOWN)
        }
        return {"looked_at": verdicts.total(), **verdict, "reasons": reasons}
