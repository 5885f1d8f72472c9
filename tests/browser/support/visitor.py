"""Somebody who uses the console in a browser, and notes everything that goes wrong there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, expect

from deploy.local.console import HOME

#: No wait is longer (milliseconds).
PATIENCE = 20_000
THEMES = ("light", "dark")
#: What passed is most of what axe-core finds, and nobody reads it.
_VIOLATIONS = "axe.run({resultTypes: ['violations']}).then(({violations}) => violations)"
_VIEW = {"width": 1280, "height": 800}

expect.set_options(timeout=PATIENCE)


@cache
def _axe() -> str:
    return (HOME / "node_modules" / "axe-core" / "axe.min.js").read_text()


class Visitor:
    """One page of a browser. `faults` are errors of scripts, and what the Content-Security-Policy has refused."""

    def __init__(self, page: Page, url: str, screenshots: Path | None) -> None:
        self.page = page
        self.faults: list[str] = []
        #: Statuses with which requests may be refused; the browser writes them down as errors.
        self.expected: tuple[str, ...] = ()
        self._url = url
        self._screenshots = screenshots
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._note)

    async def open(self, path: str = "") -> None:
        """A page of the console."""
        await self.page.goto(f"{self._url}/console/{path}")

    async def sign_in(self, key: str, path: str = "") -> None:
        """By keyboard: the field has the focus."""
        await self.open(path)
        await self.page.get_by_label("API key").press_sequentially(key)
        await self.page.keyboard.press("Enter")
        await expect(self.page.get_by_role("main")).to_be_visible()
        await expect(self.page.get_by_role("navigation")).to_be_visible()

    async def look(self, name: str) -> None:
        """Nothing is wrong for assistive technology, in both themes; with a picture of each, if pictures are wanted."""
        for theme in THEMES:
            await self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
            await expect(self.page.locator("html")).to_have_attribute("data-theme", theme)
            if self._screenshots is not None:
                self._screenshots.mkdir(parents=True, exist_ok=True)
                await self.page.screenshot(path=self._screenshots / f"{name}-{theme}.png")
            if not await self.page.evaluate("'axe' in window"):
                await self.page.evaluate(_axe())
            found: list[dict[str, Any]] = await self.page.evaluate(_VIOLATIONS)
            told = [f"{one['id']}: {one['help']}: {[node['html'] for node in one['nodes'][:3]]}" for one in found]
            assert told == [], f"{name}, {theme}: {told}"
        await self.page.emulate_media(color_scheme="light", reduced_motion="reduce")

    async def tab_to(self, name: str) -> None:
        """Press the tab key until what has this name has the focus."""
        for _ in range(80):
            await self.page.keyboard.press("Tab")
            focused = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
            if str(await self.page.evaluate(focused)).strip() == name:
                return
        raise AssertionError(f"the tab key does not reach {name!r}")

    def _note(self, message: ConsoleMessage) -> None:
        # The console asks whether there is a session, and the browser writes down that there is none.
        is_asking = "401" in message.text and message.location.get("url", "").endswith("/gateway/v1/session")
        is_expected = any(status in message.text for status in self.expected)
        if message.type in ("error", "warning") and not is_asking and not is_expected:
            self.faults.append(message.text)


@asynccontextmanager
async def visiting(
    browser: Browser, url: str, screenshots: Path | None
) -> AsyncIterator[Callable[..., Awaitable[Visitor]]]:
    """Gives a function that opens a profile of a browser: `await visit(locale=…)`."""
    visitors: list[Visitor] = []

    async def visit(locale: str = "en-GB") -> Visitor:
        context = await browser.new_context(viewport=_VIEW, locale=locale, timezone_id="Europe/Berlin")  # type: ignore[arg-type]
        visitors.append(Visitor(await context.new_page(), url, screenshots))
        return visitors[-1]

    try:
        yield visit
        for visitor in visitors:
            assert visitor.faults == [], visitor.faults
    finally:
        for visitor in visitors:
            await visitor.page.context.close()
