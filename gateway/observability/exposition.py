"""Prometheus's text format (0.0.4), for gauges."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Gauge:
    """A metric with one value per set of labels."""

    name: str
    help: str
    values: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

    def set(self, value: float, **labels: str | None) -> None:
        """Labels that are None are shown empty."""
        self.values.append(({name: text or "" for name, text in labels.items()}, value))


def render(gauges: Iterable[Gauge]) -> str:
    """The page that Prometheus scrapes."""
    lines = []
    for gauge in gauges:
        lines += [f"# HELP {gauge.name} {_escape(gauge.help)}", f"# TYPE {gauge.name} gauge"]
        for labels, value in gauge.values:
            inner = ",".join(f'{name}="{_escape(text, quotes=True)}"' for name, text in labels.items())
            lines.append(f"{gauge.name}{{{inner}}} {_number(value)}" if inner else f"{gauge.name} {_number(value)}")
    return "\n".join(lines) + "\n"


def _escape(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    if math.isinf(value) or math.isnan(value):
        return {True: "+Inf", False: "-Inf"}[value > 0] if math.isinf(value) else "NaN"
    return str(int(value)) if value == int(value) else repr(round(value, 6))
