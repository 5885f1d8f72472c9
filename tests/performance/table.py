"""Figures as text, and the percentiles behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb
from statistics import median, quantiles
from typing import Any


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """P50, P95 and P99 in milliseconds, and how many were measured."""
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {
        "p50_ms": round(cuts[49] * 1000, 2),
        "p95_ms": round(cuts[94] * 1000, 2),
        "p99_ms": round(cuts[98] * 1000, 2),
        "n": len(seconds),
    }


def paired_ratio(measured: Sequence[float], against: Sequence[float]) -> dict[str, float]:
    """The median of the pairs' ratios with its interval of at least 95 % (order statistics), and the extremes.

    With fewer than six pairs no such interval exists; it is then the extremes.
    """
    ratios = sorted(one / other for one, other in zip(measured, against, strict=True))
    outside = interval_rank(len(ratios))
    return {
        "median": round(median(ratios), 3),
        "low": round(ratios[outside], 3),
        "high": round(ratios[-1 - outside], 3),
        "least": round(ratios[0], 3),
        "most": round(ratios[-1], 3),
        "pairs": len(ratios),
    }


def interval_rank(count: int) -> int:
    """How many of `count` sorted values lie outside the median's 95 % interval on each side (the sign test)."""
    rank = 0
    while 2 * sum(comb(count, below) for below in range(rank + 2)) / 2**count <= 0.05:
        rank += 1
    return rank


def render(figures: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for part, rows in figures.items():
        for name, row in rows.items():
            values = _flat(row) if isinstance(row, Mapping) else {"": row}
            lines.append(f"  {part:<10} {name:<12} " + "  ".join(f"{key} {value}" for key, value in values.items()))
    return "\n".join(lines)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Rows within a row by `name.key`."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        flat |= (
            {f"{key}.{inner}": found for inner, found in value.items()} if isinstance(value, Mapping) else {key: value}
        )
    return flat
