"""What somebody else wrote: markup, control characters, marks that turn text round, far too much, no YAML at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from contracts.people import Household
from contracts.world import World
from visitor import Visitor, visiting

EVIL = {
    "<img src=x onerror=alert(1)>": "</pre><script>alert(1)</script>",
    "turned": "\u202egnp.exe \u2066\u2069 \u200f",
    "controls": "a\u0007b\u001b[31mred\u0085\u2028end",
    "a": {"b": ["&amp;", "\U0001f600", "x" * 2000]},
}
#: More than an answer shows.
HUGE = 10_000_000


async def payload_of(page: Page) -> str:
    await page.get_by_role("region", name="Payload").get_by_role("button").press("Enter")
    text = page.get_by_role("region", name="Payload").locator("pre")
    await expect(text).to_be_visible()
    return await text.inner_text()


async def test_a_payload_with_markup_and_marks_is_shown_as_it_is(visit: Any, world: World, home: Household) -> None:
    task_id = await world.submit(home, payload={"do": "", **EVIL}, labels={"evil": "<b>\u202e"})
    await world.ended(task_id)
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, f"tasks/{task_id}")
    shown = await payload_of(page)
    for tag in ("<img src=x onerror=alert(1)>", "</pre><script>alert(1)</script>", "&amp;"):
        assert tag in shown
    # What hides, or turns round what stands beside it, is spelled out.
    for mark in "\u202e\u2066\u2069\u200f\u0007\u001b\u0085\u2028":
        assert mark not in shown
    assert "\\u{202e}gnp.exe" in shown
    assert await page.locator("pre img, pre script").count() == 0
    await page.get_by_role("region", name="Payload").scroll_into_view_if_needed()
    await visitor.look("task-payload-evil")
    wide = "document.scrollingElement.scrollWidth > document.scrollingElement.clientWidth"
    assert await page.evaluate(wide) is False


async def test_a_payload_of_ten_megabytes_is_shown_in_part(
    browser: Browser, world: World, home: Household, pictures: Path | None
) -> None:
    async with world.another_gateway(max_body_bytes=2 * HUGE) as url, visiting(browser, url, pictures) as visit:
        task_id = await world.submit(home, at=url, payload={"do": "", "text": "\u00e4\\\n" * (HUGE // 4)})
        await world.ended(task_id)
        row = await world.row(task_id)
        assert len(json.dumps(row["payload"], ensure_ascii=False).encode()) > HUGE
        visitor: Visitor = await visit()
        page = visitor.page
        await visitor.sign_in(home.owner.key, f"tasks/{task_id}")
        shown = await payload_of(page)
        assert 1000 < len(shown.encode()) <= 2 * 256 * 1024
        await expect(page.get_by_role("region", name="Payload").get_by_text("beginning")).to_be_visible()
        await visitor.look("task-payload-huge")
        await page.get_by_role("region", name="Payload").get_by_role("button").press("Enter")
        await expect(page.get_by_role("region", name="Payload").locator("pre")).to_be_hidden()


LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}]\n"
    for before, name in zip("bcdefghijklmnop", "cdefghijklmnopq", strict=True)
)
NO_DAGS = {
    "nothing": "",
    "a number": "42",
    "a list": "- nodes\n- a\n",
    "json": json.dumps([{"nodes": {}}]),
    "markup": "<nodes><a/></nodes>",
    "a bracket": "nodes:\n  a: [\n",
    "tabs": "nodes:\n\ta: {type: contract_probe}\n",
    "marks": "nodes:\n  \u202ea: {type: \u0007}\n",
    "two documents": "nodes: {}\n---\nnodes: {}\n",
    "a loop": "nodes: &n\n  a: *n\n",
    "an alias of nothing": "nodes: *gone\n",
    "twice": "nodes: {a: {type: contract_probe}, a: {type: contract_probe}}\n",
    "laughs": LAUGHS,
    "prose": "What a wonderful day: it rains: again.\n",
}
#: As the clipboard brings it.
PASTE = """(place, whole) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", whole);
    place.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
}"""
GOOD = "nodes:\n  fine: {type: contract_probe}\n"


async def test_what_is_no_dag_is_told_and_nothing_breaks(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "dags/none")
    text = page.get_by_role("textbox", name="The DAG as YAML")

    async def replace(whole: str) -> None:
        await text.focus()
        await page.keyboard.press("Control+a")
        await (text.evaluate(PASTE, whole) if whole else page.keyboard.press("Delete"))

    faults = page.get_by_role("region", name="Faults")
    for name, whole in NO_DAGS.items():
        await replace(whole)
        await expect(faults.get_by_role("listitem").first, name).to_be_visible()
        await expect(page.get_by_text("Valid."), name).to_be_hidden()
        await replace(GOOD)
        await expect(page.get_by_text("Valid."), name).to_be_visible()
    await replace(NO_DAGS["marks"])
    await expect(faults.get_by_role("listitem").first).to_be_visible()
    # The text is not turned round: what would do so is shown in its place.
    await expect(page.locator(".cm-specialChar")).to_have_count(2)
    await visitor.look("dag-no-dag")


@pytest.mark.parametrize(
    "path", ["tasks/no-such", "dag-runs/%3Cb%3E", "schedules/%E2%80%AEx", "tenants/a%2Fb", "nowhere"]
)
async def test_an_address_that_leads_nowhere_says_so(visit: Any, home: Household, path: str) -> None:
    visitor: Visitor = await visit()
    visitor.expected = ("403", "404")
    await visitor.sign_in(home.owner.key, path)
    main = visitor.page.get_by_role("main")
    await expect(main.get_by_role("heading").or_(main.get_by_role("alert")).first).to_be_visible()
