"""A parity report as plain values: the same for every face."""

from __future__ import annotations

import math
from typing import Any

from gateway.migration.parity.eprocess import Rate
from gateway.migration.parity.evidence import Counts
from gateway.migration.parity.histogram import Histogram, lower_edge
from gateway.migration.parity.judgement import Finding
from gateway.migration.parity.parity import Report, TypeParity
from gateway.routing.stages import REDIS, TEMPORAL


def document(report: Report, *, with_others: bool) -> dict[str, Any]:
    """What `GET /gateway/v1/migration/parity` answers; what other tenants did is for administrators."""
    return {
        "at": report.at,
        "tenant_id": report.tenant_id,
        "stage": report.stage.value,
        "verdict": report.verdict.value,
        "reasons": report.reasons,
        "since": report.since,
        "moved_by": report.moved_by,
        "baseline_from": report.baseline_from,
        "behind_seconds": round(report.behind_seconds, 3),
        "types": [_type(one, with_others=with_others) for one in report.types],
    }


def _type(one: TypeParity, *, with_others: bool) -> dict[str, Any]:
    sides = one.sides
    return {
        "task_type": sides.task_type,
        "verdict": one.judgement.verdict.value,
        "reasons": one.judgement.reasons,
        "sides": [
            _side("before", REDIS, sides.before),
            _side("since", TEMPORAL, sides.since),
            _side("since", REDIS, one.both),
        ],
        "streams": [_stream(finding, with_others=with_others) for finding in one.judgement.findings],
    }


def _side(when: str, backend: str, counts: Counts) -> dict[str, Any]:
    return {
        "when": when,
        "backend": backend,
        "runs": counts.ended,
        "lost": counts.lost,
        "tasks": counts.over,
        "attempts_per_task": round(counts.attempts / counts.over, 3) if counts.over else None,
        "failed": _rate(Rate(counts.first, counts.failed)),
        "retried": _rate(Rate(counts.over, counts.retried)),
        "dead": _rate(Rate(counts.over, counts.dead)),
        **{name: _durations(getattr(counts, name)) for name in Counts.HISTOGRAMS},
    }


def _stream(finding: Finding, *, with_others: bool) -> dict[str, Any]:
    even, odd = finding.halves
    others = {"others_before": _rate(finding.others_before), "others_since": _rate(finding.others_since)}
    return {
        "stream": finding.stream.value,
        "before": _rate(finding.before),
        "since": _rate(finding.since),
        "evidence": round(finding.log_e / math.log(10), 2),
        "evidence_needed": round(finding.needed / math.log(10), 2),
        "at_most": round(finding.upper, 4),
        "tolerated": round(finding.tolerated, 4),
        "even_minutes": _rate(even),
        "odd_minutes": _rate(odd),
        **(others if with_others else dict.fromkeys(others)),
    }


def _rate(rate: Rate) -> dict[str, int]:
    return {"asked": rate.asked, "yes": rate.yes}


def _durations(histogram: Histogram) -> dict[str, Any]:
    quantiles = {f"p{round(part * 100)}": histogram.quantile(part) for part in (0.5, 0.9, 0.99)}
    buckets = [
        {"below": round(lower_edge(bucket + 1), 6), "count": count}
        for bucket, count in enumerate(histogram.counts)
        if count
    ]
    return {
        "count": len(histogram),
        **{name: value and round(value, 6) for name, value in quantiles.items()},
        "buckets": buckets,
    }
