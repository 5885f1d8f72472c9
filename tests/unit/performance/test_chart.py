"""The chart of the benchmarks is drawn from the figures, whatever is missing."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from tests.performance.chart import draw, panels
from tests.performance.table import render

LATENCY = {"p50_ms": 5.0, "p95_ms": 10.0, "p99_ms": 12.0, "n": 100}


@pytest.fixture
def figures() -> dict[str, Any]:
    peer = {
        "store": "Redis",
        "dispatch": LATENCY,
        "dispatch_loaded": LATENCY,
        "throughput_per_s": 100.0,
        "cpu_ms_all": 2.0,
    }
    return {
        "machine": {"cpu": "A <fast> CPU & more", "cores": 2, "load": 0.5, "python": "3.11"},
        "versions": {"taskgate": "1"},
        "peer_versions": {"arq": "2"},
        "peers": {"redis": peer, "arq": peer, "dbos": {"store": "PostgreSQL", "error": "it did not start"}},
        "recovery": {"redis": LATENCY, "arq": {**LATENCY, "p95_ms": 100_000.0, "n": 1, "capped": 1}},
    }


def test_the_chart_shows_every_system_that_was_measured(figures: dict[str, Any]) -> None:
    root = ElementTree.fromstring(draw(figures))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("taskgate, Redis") == 5
    assert "> 100000 (n = 1)" in texts
    assert not any(text and "dbos" in text for text in texts)
    assert any(text and "A <fast> CPU & more" in text and "0.5" in text for text in texts)
    assert {"taskgate 1", "arq 2"} <= set(texts)


def test_panels_without_figures_are_left_out(figures: dict[str, Any]) -> None:
    del figures["peers"]
    assert [title for title, _ in panels(figures)] == ["Killed worker: until its task starts again, P95, ms"]


def test_the_table_has_rows_of_rows(figures: dict[str, Any]) -> None:
    text = render({"peers": figures["peers"], "peer_versions": figures["peer_versions"]})
    assert "dispatch.p95_ms 10.0" in text
    assert "arq" in text
