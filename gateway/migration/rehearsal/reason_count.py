"""How many tasks have a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from gateway.migration.rehearsal.reasons import Reason, Weight


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """How many tasks have this reason, of which types."""

    code: str
    weight: Weight
    meaning: str
    advice: str
    tasks: int
    task_types: list[str]
    last_at: datetime


def counted(found: Mapping[str, tuple[Reason, Sequence[asyncpg.Record]]]) -> list[ReasonCount]:
    """The gravest first, else as they are given."""
    counts = [
        ReasonCount(
            code,
            known.weight,
            known.meaning,
            known.advice,
            sum(row["tasks"] for row in rows),
            sorted({row["task_type"] for row in rows}),
            max(row["last_at"] for row in rows),
        )
        for code, (known, rows) in found.items()
    ]
    return sorted(counts, key=lambda one: (list(Weight).index(one.weight), -one.tasks))
