"""Draws `docs/benchmarks.svg` from `.local/bench/latest.json`: `python -m tests.performance.chart [JSON] [SVG]`."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, ROW, HEAD = 880, 150, 190, 22, 34
OURS = {"temporal": "taskgate, Temporal", "redis": "taskgate, Redis"}
OTHERS = {"sdk": "Temporal SDK alone", "legacy": "legacy loop"}
COLOURS = {"ours": "#1f6feb", "other": "#8b949e", "legacy": "#cf222e"}

Bar = tuple[str, float, str]
"""Name of the system, value, what is written behind the bar."""


def panels(figures: Mapping[str, Any]) -> list[tuple[str, list[Bar]]]:
    """Title and bars of each panel that there are figures for."""
    peers = {name: row for name, row in figures.get("peers", {}).items() if "dispatch" in row}
    recovery = figures.get("recovery", {})
    found = [
        ("Dispatch at light load, P95, ms (less is better)", [_latency(n, r["dispatch"]) for n, r in peers.items()]),
        (
            "Dispatch at 70 % of capacity, P95, ms",
            [_latency(n, r["dispatch_loaded"]) for n, r in peers.items() if "dispatch_loaded" in r],
        ),
        (
            "Killed worker: until its task starts again, P95, ms",
            [
                (name, row["p95_ms"], f"{'> ' if row.get('capped') else ''}{_number(row['p95_ms'])} (n = {row['n']})")
                for name, row in recovery.items()
                if "p95_ms" in row
            ],
        ),
        (
            "Empty tasks a second (more is better)",
            [(n, r["throughput_per_s"], _number(r["throughput_per_s"])) for n, r in peers.items()],
        ),
        (
            "Processor time of a task, servers included, ms",
            [(n, r["cpu_ms_all"], _number(r["cpu_ms_all"])) for n, r in peers.items()],
        ),
    ]
    return [(title, bars) for title, bars in found if bars]


def draw(figures: Mapping[str, Any]) -> str:
    """The whole chart; all scales are logarithmic."""
    found = panels(figures)
    height = 80 + sum(HEAD + ROW * len(bars) + 14 for _, bars in found)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    top = 18
    for line in captions(figures):
        parts.append(f'<text x="12" y="{top}" fill="#57606a" font-size="11">{escape(line)}</text>')
        top += 15
    top += 6
    for title, bars in found:
        parts.append(f'<text x="12" y="{top + 16}" font-weight="600">{escape(title)}</text>')
        parts += _bars(sorted(bars, key=lambda bar: bar[1]), top + HEAD)
        top += HEAD + ROW * len(bars) + 14
    return "\n".join([*parts, "</svg>"]) + "\n"


def captions(figures: Mapping[str, Any]) -> list[str]:
    """Machine and versions."""
    machine = figures["machine"]
    return [
        f"{machine['cpu']}, {machine['cores']} cores for everything; Python {machine['python']};"
        f" load average {machine['load']:.1f} at the start. Scales are logarithmic.",
        *(_versions(figures[key]) for key in ("versions", "peer_versions") if key in figures),
    ]


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def _latency(name: str, row: Mapping[str, Any]) -> Bar:
    return name, row["p95_ms"], f"{_number(row['p95_ms'])} (P50 {_number(row['p50_ms'])})"


def _bars(bars: Sequence[Bar], top: int) -> list[str]:
    values = [max(value, 0.01) for _, value, _ in bars]
    low, high = min(values) / 1.5, max(values)
    parts = []
    for number, (name, _, text) in enumerate(bars):
        share = math.log(values[number] / low) / math.log(high / low) if high > low else 1.0
        y, width = top + ROW * number, max(2.0, share * (WIDTH - LEFT - RIGHT))
        colour = COLOURS["ours" if name in OURS else name if name in COLOURS else "other"]
        shown = OURS.get(name) or OTHERS.get(name) or name
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(shown)}</text>',
            f'<rect x="{LEFT}" y="{y + 3}" width="{width:.1f}" height="{ROW - 6}" rx="2" fill="{colour}"/>',
            f'<text x="{LEFT + width + 6:.1f}" y="{y + 15}" fill="#57606a">{escape(text)}</text>',
        ]
    return parts


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


if __name__ == "__main__":
    source = Path(sys.argv[1] if len(sys.argv) > 1 else ".local/bench/latest.json")
    target = Path(sys.argv[2] if len(sys.argv) > 2 else "docs/benchmarks.svg")
    target.write_text(draw(json.loads(source.read_text())), encoding="utf-8")
    print(f"written: {target}")
