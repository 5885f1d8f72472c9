"""What a page notes of itself, for tests and benchmarks that ask when something was seen, and what was laid out."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Page

#: `noted.first`: when a frame has shown a selector for the first time; `noted.moved`: when a graph was last moved or
#: fitted; `noted.layouts`: how long each layout took, with its worker's start; `noted.long`: the end of each task of
#: over 50 ms. All in milliseconds since the navigation began. `noted.isOver` ends the look at each frame.
_NOTE = """
window.noted = {first: {}, wanted: [], moved: 0, layouts: [], long: 0};
{
  let last = "";
  const look = () => requestAnimationFrame(() => {
    for (const selector of noted.wanted)
      if (noted.first[selector] === undefined && document.querySelector(selector) !== null) {
        noted.first[selector] = 0;
        setTimeout(() => { noted.first[selector] = performance.now(); });
      }
    const at = document.querySelector(".react-flow__viewport")?.style.transform ?? "";
    if (at !== last) { last = at; setTimeout(() => { noted.moved = performance.now(); }); }
    if (!noted.isOver) look();
  });
  look();
  new PerformanceObserver((list) => {
    for (const {startTime, duration} of list.getEntries()) noted.long = startTime + duration;
  }).observe({type: "longtask", buffered: true});
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, ...more) {
    if (message?.names !== undefined) {
      const began = performance.now();
      this.addEventListener("message", () => noted.layouts.push(performance.now() - began), {once: true});
    }
    return post.call(this, message, ...more);
  };
}
"""


async def instrument(page: Page, *selectors: str) -> None:
    """Before the page is opened: it notes when it first shows these, and its layouts."""
    wanted = ", ".join(f"'{selector}'" for selector in selectors)
    await page.add_init_script(f"{_NOTE}\nnoted.wanted.push({wanted});")


async def noted(page: Page) -> dict[str, Any]:
    """What it has noted so far."""
    found: dict[str, Any] = await page.evaluate("noted")
    return found


async def elements(page: Page) -> int:
    """How many elements the document has."""
    count: int = await page.evaluate("document.querySelectorAll('*').length")
    return count
