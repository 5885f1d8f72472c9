"""What a page did in each frame, from a trace of the browser (CDP)."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import quantiles
from typing import Any

from playwright.async_api import Browser, Page

_CATEGORIES = [
    "devtools.timeline",
    "disabled-by-default-devtools.timeline",
    "disabled-by-default-devtools.timeline.frame",
    "blink.user_timing",
    "v8",
    "__metadata",
]
_SCRIPT = {
    "EvaluateScript",
    "FunctionCall",
    "EventDispatch",
    "TimerFire",
    "FireAnimationFrame",
    "RunMicrotasks",
    "V8.GCScavenger",
    "MinorGC",
    "MajorGC",
}
_LAYOUT = {"UpdateLayoutTree", "Layout"}
_FRAME = "BeginMainThreadFrame"
_MARK = "taskgate-measured"


class Frames:
    """Milliseconds of script, style and layout in each frame, and of each task of the page's thread."""

    def __init__(self) -> None:
        self.work: list[float] = []
        self.tasks: list[float] = []
        #: The same by the thread's own clock: what it waited for a processor does not count.
        self.own_work: list[float] = []
        self.own_tasks: list[float] = []

    def read(self, events: list[dict[str, Any]]) -> None:
        """Add what a trace says of the time between its two marks."""
        counted = Counter(event["pid"] for event in events if event["name"] == _FRAME)
        [(pid, _)] = counted.most_common(1)
        marks = [event["ts"] for event in events if event["name"] == _MARK and event["pid"] == pid]
        begin, end = min(marks), max(marks)
        main = [event for event in events if event["pid"] == pid and begin <= event["ts"] <= end]
        frames = sorted(event["ts"] for event in main if event["name"] == _FRAME)
        thread = next(event["tid"] for event in main if event["name"] == _FRAME)
        spans = sorted(
            (event for event in main if event["tid"] == thread and event.get("ph") == "X"),
            key=lambda event: (event["ts"], -event.get("dur", 0)),
        )
        work, own = [0.0] * (len(frames) + 1), [0.0] * (len(frames) + 1)
        covered = 0.0
        for event in spans:
            if event["name"] == "RunTask":
                self.tasks.append(event.get("dur", 0) / 1000)
                self.own_tasks.append(event.get("tdur", 0) / 1000)
            elif event["name"] in _SCRIPT | _LAYOUT and event["ts"] >= covered:
                covered = event["ts"] + event.get("dur", 0)
                at = bisect_right(frames, event["ts"])
                work[at] += event.get("dur", 0) / 1000
                own[at] += event.get("tdur", 0) / 1000
        self.work += work[1:]
        self.own_work += own[1:]

    def figures(self) -> dict[str, float]:
        return {
            "frame_p50_ms": _percentile(self.work, 50),
            "frame_p95_ms": _percentile(self.work, 95),
            "own_frame_p95_ms": _percentile(self.own_work, 95),
            "longest_task_ms": round(max(self.tasks), 1),
            "own_longest_task_ms": round(max(self.own_tasks), 1),
            "frames": len(self.work),
        }


def _percentile(values: list[float], percent: int) -> float:
    return round(quantiles(values, n=100, method="inclusive")[percent - 1], 2)


@asynccontextmanager
async def traced(browser: Browser, page: Page, frames: Frames) -> AsyncIterator[None]:
    """Everything in here goes into `frames`. The page notes no more what it shows, which makes frames of its own."""
    await page.evaluate("noted.isOver = true")
    await browser.start_tracing(page=page, categories=_CATEGORIES)
    await page.evaluate(f"performance.mark('{_MARK}')")
    yield
    await page.evaluate(f"performance.mark('{_MARK}')")
    trace = await browser.stop_tracing()
    frames.read(json.loads(trace)["traceEvents"])
