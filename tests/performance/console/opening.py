"""The first load: JavaScript, and until somebody can work. And how much more the editor's page loads."""

from __future__ import annotations

import gzip
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Page, expect

from deploy.local.console import BUILT
from tests.browser.support.instruments import noted
from tests.performance.console.visits import Person

ROUNDS = 10
#: So long after the heading a page is looked at for long tasks (milliseconds).
SETTLED = 700
_HEADING = "main h1"


def _script_kb(urls: set[str]) -> float:
    """Kilobytes of these scripts by gzip."""
    files = {BUILT / urlsplit(url).path.partition("/console/")[2] for url in urls}
    return round(sum(len(gzip.compress(file.read_bytes(), 6)) for file in files) / 1000, 1)


def _collecting(page: Page) -> set[str]:
    urls: set[str] = set()
    page.on("request", lambda request: urls.add(request.url) if request.url.endswith(".js") else None)
    page.on("worker", lambda worker: urls.add(worker.url))
    return urls


async def opening(person: Person) -> dict[str, Any]:
    """`interactive`: from the navigation to the frame with the page's heading, and the end of its last long task."""
    shown, interactive = [], []
    for _ in range(ROUNDS):
        async with person.page(_HEADING) as page:
            first = _collecting(page)
            await person.open(page, "")
            await expect(page.locator(_HEADING)).to_be_visible()
            await page.wait_for_timeout(SETTLED)
            notes = await noted(page)
            shown.append(notes["first"][_HEADING])
            interactive.append(max(notes["first"][_HEADING], notes["long"]))
    async with person.page(".react-flow__node") as page:
        loaded = _collecting(page)
        await person.open(page, "")
        await expect(page.locator(_HEADING)).to_be_visible()
        before = set(loaded)
        await person.open(page, "dags/new?template=saga")
        await expect(page.locator(".react-flow__node").first).to_be_visible()
        await expect(page.locator(".cm-content")).to_be_visible()
        more = loaded - before
    return {
        "first load": {
            "script_gzip_kb": _script_kb(first),
            "files": len(first),
            "shown_ms": round(median(shown)),
            "interactive_ms": round(median(interactive)),
            "interactive_worst_ms": round(max(interactive)),
        },
        "editor's page": {"more_script_gzip_kb": _script_kb(more), "files": len(more)},
    }
