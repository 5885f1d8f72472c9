"""The walk of `keyboard.py` itself: it finds each kind of fault, and none where there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page

from keyboard import Keyboard

GOOD = """
<style>:focus-visible { outline: 2px solid #2a56b8; outline-offset: 1px } .ring { outline-offset: -2px }</style>
<a href="#x">a link</a> <button>a button</button> <input aria-label="a field">
<div style="overflow: hidden; width: 80px"><button class="ring" style="width: 80px">inside</button></div>
<div role="toolbar"><button>one</button><button tabindex="-1">by arrows</button></div>
<button disabled>not now</button> <input type="datetime-local" aria-label="a day"> <select><option>one</option></select>
"""
FAULTS = {
    "not reached": ('<button tabindex="-1">odd</button>', "the keyboard does not reach"),
    "not shown": ('<button style="outline: none">odd</button>', "does not show that it has the focus"),
    "faint": ('<button style="outline-color: #ccd">odd</button>', "shows the focus by a contrast of 1."),
    "cut off": (
        '<div style="overflow: hidden; width: 60px; height: 20px">'
        '<button style="width: 60px; height: 20px; border: 0">odd</button></div>',
        "does not show that it has the focus",
    ),
    "out of order": ('<button tabindex="3">odd</button>', "goes before what stands above it"),
    "a trap": (
        '<input aria-label="odd" onkeydown="event.key === &quot;Tab&quot; && event.preventDefault()">',
        "the tab key stays at",
    ),
    "covered": (
        '<button>odd</button><p style="position: fixed; inset: 0; margin: 0; background: white"></p>',
        "is covered when it has the focus",
    ),
    "mouse alone": (
        '<p id="odd">odd</p><script>odd["__reactProps$1"] = {onClick: () => undefined}</script>',
        "is for the mouse alone",
    ),
}


async def faults_of(page: Page, html: str) -> list[str]:
    await page.set_content(f"<!doctype html><body>{html}</body>")
    keyboard = Keyboard(page)
    await keyboard.walk("here")
    return keyboard.faults


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    page = await browser.new_page()
    yield page
    await page.close()


async def test_where_nothing_is_wrong_nothing_is_found(page: Page) -> None:
    assert await faults_of(page, GOOD) == []


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_found(page: Page, name: str) -> None:
    html, expected = FAULTS[name]
    found = await faults_of(page, GOOD + html)
    assert any(expected in fault and "odd" in fault for fault in found), found
