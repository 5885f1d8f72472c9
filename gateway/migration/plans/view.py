"""Plans in answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from gateway.migration.plans.document import Plan
from gateway.migration.plans.progress import OVER, PlanState, Progress
from gateway.migration.plans.validation import Checked

#: Tenants of a wave that are named where it is checked.
NAMED = 10

Json = dict[str, Any]


def summary_of(plan: Plan) -> Json:
    """What is shown of its document."""
    return {"why": plan.why, "waves": [_wave(plan, number) for number in range(len(plan.waves))]}


def plan_view(
    progress: Progress, summary: Mapping[str, Any], counts: Sequence[asyncpg.Record], checked: Checked | None
) -> Json:
    """How far a plan is. `summary`: of its document; `checked`: whom a draft would move."""
    by_wave = {row["wave"]: row for row in counts}
    names = ("tenants", "waiting", "moved", "left", "back", "skipped", "by_override")
    waves = []
    for number, wave in enumerate(summary["waves"]):
        row = by_wave.get(number)
        numbers = {name: 0 if row is None else row[name] for name in names}
        if checked is not None:
            numbers |= {"tenants": len(checked.waves[number]), "waiting": len(checked.waves[number])}
        waves.append({**wave, **numbers})
    is_begun = progress.state not in (PlanState.DRAFT, *OVER)
    return {
        "name": progress.name,
        "state": progress.state,
        "says": progress.says,
        "why": summary["why"],
        "wave": progress.wave + 1 if is_begun else None,
        "moved_at": progress.moved_at,
        "approved_by": progress.approved_by,
        "created_by": progress.created_by,
        "created_at": progress.created_at,
        "started_by": progress.started_by,
        "started_at": progress.started_at,
        "ended_at": progress.ended_at,
        "version": progress.version,
        "waves": waves,
    }


def recount_view(row: asyncpg.Record) -> Json:
    """From when on the gate counts a tenant's tasks, who said so, and why."""
    return {
        "tenant_id": row["tenant_id"],
        "wave": row["wave"] + 1,
        "counts_from": row["counts_from"],
        "who": row["recounted_by"],
        "why": row["recount_why"],
        "times": row["recounts"],
    }


def checked_view(checked: Checked) -> Json:
    """A valid plan: whom its waves move, and what may surprise."""
    waves = [
        {**_wave(checked.plan, number), "tenants": len(tenants), "first": tenants[:NAMED]}
        for number, tenants in enumerate(checked.waves)
    ]
    return {"valid": True, "faults": [], "notes": checked.notes, "waves": waves}


def _wave(plan: Plan, number: int) -> Json:
    gates = plan.gates_of(number)
    return {
        "name": plan.waves[number].name,
        "stage": plan.stage_of(number),
        "bake_seconds": plan.bake_of(number).total_seconds(),
        "tasks_percent": plan.waves[number].tasks_percent,
        "gates": [
            "guardrails",
            *(["parity"] if gates.parity is not None else []),
            *(["drain"] if gates.drain is not None else []),
            *(["approval"] if gates.approval else []),
        ],
    }
