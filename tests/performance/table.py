"""Figures as text, and the percentiles behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import quantiles
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
