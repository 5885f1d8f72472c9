"""The browser that measures, and people who have signed in there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from deploy.local import console
from deploy.local.chromium import locate
from tests.browser.support.instruments import instrument
from tests.browser.support.visitor import PATIENCE, Visitor

VIEW: Any = {"width": 1280, "height": 800}


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Chromium of the system, and the console as it is built."""
    await console.build(print)
    program = await locate(print)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


class Person:
    """Somebody with a key; each page is a profile of its own, with an empty cache, signed in already."""

    def __init__(self, browser: Browser, url: str, key: str) -> None:
        self.browser = browser
        self.url = url
        self._key = key
        self._state: Any = None

    @asynccontextmanager
    async def page(self, *selectors: str, is_clocked: bool = False) -> AsyncIterator[Page]:
        """A page that notes when it first shows what is selected; with a simulated clock, if wanted."""
        if self._state is None:
            await self._sign_in()
        context = await self.browser.new_context(viewport=VIEW, locale="en-GB", storage_state=self._state)
        try:
            page = await context.new_page()
            page.set_default_timeout(PATIENCE)
            if is_clocked:
                await page.clock.install()
            await instrument(page, *selectors)
            yield page
        finally:
            await context.close()

    async def open(self, page: Page, path: str) -> None:
        await page.goto(f"{self.url}/console/{path}")

    async def _sign_in(self) -> None:
        context = await self.browser.new_context(viewport=VIEW, locale="en-GB")
        visitor = Visitor(await context.new_page(), self.url, None)
        await visitor.sign_in(self._key)
        self._state = await context.storage_state()
        await context.close()
