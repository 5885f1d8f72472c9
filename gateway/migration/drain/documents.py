"""A drain as plain values: the same for every face."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gateway.migration.drain.report import Left, Report


def document(report: Report) -> dict[str, Any]:
    """What `GET /gateway/v1/migration/drain` answers."""
    return {
        "at": report.at,
        **_left(report.left),
        "missing": report.missing,
        "notes": report.notes,
        "postgresql": report.postgresql,
        "redis": report.redis,
        "slowest": [asdict(slow) for slow in report.slowest],
        "tenants": [_left(left) for left in report.tenants],
    }


def _left(left: Left) -> dict[str, Any]:
    facts = asdict(left)
    for name in ("rate_in", "rate_out"):
        facts[name] = round(facts[name], 3)
    if left.eta is not None:
        facts["eta"] = {name: round(value, 1) for name, value in asdict(left.eta).items()}
    return {**facts, "verdict": left.verdict.value, "tasks": left.counts.tasks}
