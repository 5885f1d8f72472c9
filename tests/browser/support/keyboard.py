"""Somebody without a mouse: what the tab key reaches on a page, and how that is seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page, expect

from visitor import PATIENCE
from workers.testing.waiting import eventually

_SCRIPT = Path(__file__).with_suffix(".js").read_text()
#: Stops of one walk; a page with more of them shows too much to a test.
_MOST = 600
_WITHIN = PATIENCE / 1000


class Keyboard:
    """Walks through a page. `faults` are what somebody without a mouse would stumble over."""

    def __init__(self, page: Page) -> None:
        self.faults: list[str] = []
        self._page = page

    async def walk(self, where: str, key: str = "Tab") -> int:
        """From the top of the page to its end, or once round the dialog that is open; how many stops there are."""
        await self._page.evaluate(_SCRIPT)
        await self._page.evaluate("keys.begin()")
        for _ in range(_MOST):
            await self._page.keyboard.press(key)
            if await self._page.evaluate("keys.step()"):
                break
        else:
            self.faults.append(f"{where}: {key} comes to no end")
        found: dict[str, Any] = await self._page.evaluate("keys.end()")
        self.faults += [f"{where}: {fault}" for fault in found["faults"]]
        return int(found["reached"])

    async def open_each(self, where: str, asks: Sequence[str] = ()) -> list[str]:
        """Open what can be opened, walk through it, and close it with Escape; what was opened.

        `asks`: what buttons say that open something without telling so.
        """
        await self._page.evaluate(_SCRIPT)
        openers: list[str] = await self._page.evaluate("asks => keys.openers(asks)", list(asks))
        for index, opener in enumerate(openers):
            await self._page.evaluate(f"keys.focus({index})")
            await self._page.keyboard.press("Enter")
            role = await eventually(lambda index=index: self._page.evaluate(f"keys.opened({index})"), within=_WITHIN)  # type: ignore[misc]
            if role == "part":
                await self._page.keyboard.press("Enter")
                continue
            await self.walk(f"{where}, {opener}", "ArrowDown" if role == "menu" else "Tab")
            await self._page.keyboard.press("Escape")
            await eventually(lambda: self._page.evaluate("keys.isClosed()"), within=_WITHIN)
            try:
                await eventually(lambda index=index: self._page.evaluate(f"keys.isBack({index})"), within=2)  # type: ignore[misc]
            except TimeoutError:
                self.faults.append(f"{where}: {opener} does not have the focus again")
        return openers


async def reach(page: Page, place: Locator, key: str = "Tab") -> None:
    """Press the tab key until this has the focus."""
    await expect(place).to_be_visible()
    for _ in range(_MOST):
        await page.keyboard.press(key)
        if await place.evaluate("element => element === element.getRootNode().activeElement"):
            return
    raise AssertionError(f"{key} does not reach {place}")
