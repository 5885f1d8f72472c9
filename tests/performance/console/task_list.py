"""The list of tasks over a million of them."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from playwright.async_api import Page, expect

from tests.browser.support.instruments import elements
from tests.performance.console.frames import Frames, traced
from tests.performance.console.visits import Person
from tests.performance.table import percentiles

ROUNDS = 20
ROWS = int(os.environ.get("CONSOLE_ROWS", "10000"))
#: Pixels of a turn of the wheel: seven rows and a half a frame, 450 a second.
TURN = 240
#: Rows of one trace.
STRETCH = 2500
FIRST = "[role=row][aria-rowindex='2']"

_NOTE_CLICKS = """
window.clicked = 0; window.drawnAt = 0;
addEventListener("click", (event) => {
  clicked = event.timeStamp; drawnAt = 0;
  const look = () => requestAnimationFrame(() => {
    if (document.querySelector("[role=row][aria-rowindex='2']") === null) look();
    else setTimeout(() => { drawnAt = performance.now(); });
  });
  look();
}, {capture: true});
"""


async def task_list(person: Person) -> dict[str, Any]:
    """`first page`: from the click in the navigation to the frame with its rows."""
    async with person.page() as page:
        await person.open(page, "dags")
        await expect(page.locator("main h1")).to_be_visible()
        await page.evaluate(_NOTE_CLICKS)
        first = await _from_click(page)
        took = []
        for _ in range(ROUNDS):
            await page.get_by_role("navigation").get_by_role("link", name="DAGs", exact=True).click()
            await expect(page.locator(FIRST)).to_be_hidden()
            took.append(await _from_click(page))
        figures: dict[str, Any] = {"first page": {**percentiles(took), "first_time_ms": round(first * 1000)}}
        figures["10,000 rows"] = await _scrolled(person, page)
    return figures


async def _from_click(page: Page) -> float:
    await page.get_by_role("navigation").get_by_role("link", name="Tasks", exact=True).click()
    await expect(page.locator(FIRST)).to_be_visible()
    async with asyncio.timeout(20):
        while not (at := await page.evaluate("drawnAt")):
            await asyncio.sleep(0.01)
    return float(at - await page.evaluate("clicked")) / 1000


async def _scrolled(person: Person, page: Page) -> dict[str, Any]:
    frames, counts, row = Frames(), [], 0
    await page.locator(".tasks-frame").hover()
    while row < ROWS:
        goal = min(row + STRETCH, ROWS)
        async with traced(person.browser, page, frames):
            while row < goal:
                for _ in range(30):
                    await page.mouse.wheel(0, TURN)
                    await asyncio.sleep(1 / 60)
                row = await page.evaluate(_LAST_ROW)
        counts.append(await elements(page))
    return {**frames.figures(), "rows": row, "elements": max(counts)}


_LAST_ROW = "Math.max(...[...document.querySelectorAll('[role=row]')].map((row) => Number(row.ariaRowIndex))) - 1"
