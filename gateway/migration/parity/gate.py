"""`Gate`: durations before and since a move, compared once, at a sample size fixed beforehand (docs/parity.md).

Unlike the yes/no streams, this comparison errs more often than it says if it is made again and again. So the first who
asks fixes the number of runs; until there are so many nothing is compared, and then the answer is kept.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import asyncpg

from gateway.access.placement import Caller
from gateway.audit.acts import Act, record
from gateway.errors import ApiError, InvalidRequest
from gateway.migration.parity.judgement import ParityVerdict
from gateway.migration.parity.parity import Parity
from gateway.routing.stages import REDIS, TEMPORAL
from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.migration.parity", "gate.sql")

FEWEST: Final = 20
MOST: Final = 10_000
#: How often a gate may call durations longer that are not, over its measures.
ALPHA: Final = 0.01
#: From this part of all pairs on, in which the later task took longer, it matters (Vargha and Delaney: a small effect).
LEAST_EFFECT: Final = 0.56

_MEASURES: Final = ("run", "wait", "total")


class ParityExtraMissing(ApiError):
    """A gate needs SciPy where the gateway runs: pip install 'taskgate[parity]'"""

    code = "parity_extra_missing"
    http_status = 501
    grpc_status = "UNIMPLEMENTED"


class GateFixed(ApiError):
    """The gate of this move was fixed at another number of samples"""

    code = "gate_fixed"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


@dataclass(frozen=True, slots=True)
class Measure:
    """One duration: medians in seconds, the part of all pairs in which the run since the move is longer, and how likely
    such a part would be if nothing were longer."""

    name: str
    before: float
    since: float
    longer: float
    p_value: float

    @property
    def is_longer(self) -> bool:
        return self.p_value < ALPHA / len(_MEASURES) and self.longer >= LEAST_EFFECT


class Gate:
    """Methods raise `DatabaseUnavailable`."""

    def __init__(self, database: Database, parity: Parity) -> None:
        self._db = database
        self._parity = parity

    async def ask(self, caller: Caller, tenant_id: str, task_type: str, samples: int) -> dict[str, Any]:
        """The answer as plain values. Raises `TenantNotFound`, `InvalidRequest`, `GateFixed`, `ParityExtraMissing`."""
        if not FEWEST <= samples <= MOST:
            raise InvalidRequest(f"Give a number of samples from {FEWEST} to {MOST}.", field="samples")
        compare = _comparison()
        move = await self._parity.last_move(caller, tenant_id)
        if move is None:
            reason = f"{tenant_id} never ran on {TEMPORAL}: there is nothing to compare"
            return _answer(tenant_id, task_type, samples, ParityVerdict.NO_DATA, [reason])
        key = tenant_id, task_type, move.at
        async with self._db.transaction() as db:
            if not (await db.execute(SQL.fix, *key, samples, caller.user_id)).endswith(" 0"):
                fixed_at = {"task_type": task_type, "samples": samples}
                await record(db, Act("parity_gate.set", f"tenant:{tenant_id}", caller.user_id, None, None, fixed_at))
        fixed = await self._db.fetchrow(SQL.fixed, *key)
        assert fixed is not None
        if fixed["samples"] != samples:
            raise GateFixed(
                f"The gate of this move was fixed at {fixed['samples']} samples: ask for {fixed['samples']}; "
                "another number would be a second look."
            )
        if fixed["answer"] is None:
            before = await self._db.fetch(SQL.before, tenant_id, task_type, REDIS, move.at, samples)
            since = await self._db.fetch(SQL.since, tenant_id, task_type, TEMPORAL, move.at, samples)
            if min(len(before), len(since)) < samples:
                return _answer(tenant_id, task_type, samples, *_too_few(task_type, len(before), len(since), samples))
            measures = await asyncio.to_thread(compare, before, since)
            answer = _answer(tenant_id, task_type, samples, *_verdict(task_type, measures), measures)
            await self._db.execute(SQL.answer, *key, json.dumps(answer))
            fixed = await self._db.fetchrow(SQL.fixed, *key)  # of two who ask at once, one answers
            assert fixed is not None
        kept: dict[str, Any] = json.loads(fixed["answer"])
        return kept


def _comparison() -> Any:
    """Raises `ParityExtraMissing`."""
    try:
        from scipy.stats import mannwhitneyu
    except ImportError:
        raise ParityExtraMissing from None

    def compare(before: Sequence[asyncpg.Record], since: Sequence[asyncpg.Record]) -> list[Measure]:
        found = []
        for name in _MEASURES:
            old, new = _seconds(before, name), _seconds(since, name)
            if old and new:
                test = mannwhitneyu(new, old, alternative="greater")
                longer = float(test.statistic) / (len(old) * len(new))
                found.append(Measure(name, median(old), median(new), longer, float(test.pvalue)))
        return found

    return compare


def _seconds(rows: Sequence[asyncpg.Record], measure: str) -> list[float]:
    column = f"{measure}_seconds"
    return [row[column] for row in rows if row[column] is not None]


def _too_few(task_type: str, before: int, since: int, samples: int) -> tuple[ParityVerdict, list[str]]:
    if before < samples:
        why = f"{task_type}: only {before} of {samples} tasks completed on {REDIS} in the day before the move"
        return ParityVerdict.NO_DATA, [f"{why}; nothing to compare with"]
    why = f"{task_type}: {since} of {samples} tasks have completed on {TEMPORAL} since the move"
    return ParityVerdict.NO_DATA if not since else ParityVerdict.INCONCLUSIVE, [
        f"{why}; ask again when there are {samples}"
    ]


def _verdict(task_type: str, measures: Sequence[Measure]) -> tuple[ParityVerdict, list[str]]:
    longer = [one for one in measures if one.is_longer]
    said = [
        f"{task_type}: {one.name} time is longer on {TEMPORAL} in {one.longer:.0%} of all pairs, p = {one.p_value:.1g} "
        f"(median {one.since:.3g} s, before {one.before:.3g} s); look for what takes the time"
        for one in longer
    ]
    if said:
        return ParityVerdict.REGRESS, said
    return ParityVerdict.PASS, [f"{task_type}: durations on {TEMPORAL} are not longer than on {REDIS}"]


def _answer(
    tenant_id: str,
    task_type: str,
    samples: int,
    verdict: ParityVerdict,
    reasons: list[str],
    measures: Sequence[Measure] = (),
) -> dict[str, Any]:
    shown = [
        {"name": one.name, "before": one.before, "since": one.since, "longer": one.longer, "p_value": one.p_value}
        for one in measures
    ]
    return {
        "tenant_id": tenant_id,
        "task_type": task_type,
        "samples": samples,
        "verdict": verdict.value,
        "reasons": reasons,
        "measures": shown,
    }
