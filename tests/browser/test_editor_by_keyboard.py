"""The editor of DAGs without a mouse: the tab key and the arrows reach each thing, and the focus is never lost."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Locator, Page, expect

from contracts.dag_world import Dags
from contracts.people import Household
from dag_editor import row, text_of
from keyboard import reach
from visitor import PATIENCE, Visitor
from workers.testing.waiting import eventually

DAG = """nodes:
  first: {type: contract_probe, input: {do: ""}}
  second: {type: contract_probe, input: {do: ""}}
"""


async def opened(visit: Any, world: Any, home: Household) -> Page:
    await Dags(world, home).apply("by-keys", DAG)
    visitor: Visitor = await visit()
    await visitor.sign_in(home.owner.key, "dags/by-keys")
    await expect(row(visitor.page, "second")).to_be_visible()
    await expect(visitor.page.get_by_text("Valid.")).to_be_visible()
    return visitor.page


async def go_down_to(page: Page, place: Locator) -> None:
    """In the outline."""
    await reach(page, row(page, "The whole DAG"))
    for _ in range(10):
        await page.keyboard.press("ArrowDown")
        if await place.evaluate("row => row === document.activeElement"):
            return
    raise AssertionError("the arrow does not reach the row")


async def test_a_node_is_connected_given_inputs_and_taken_apart(visit: Any, world: Any, home: Household) -> None:
    page = await opened(visit, world, home)
    await go_down_to(page, row(page, "second"))
    await page.keyboard.press("Enter")
    panel = page.get_by_role("region", name="second")
    await expect(panel.get_by_label("Name", exact=True)).to_be_focused()
    source = panel.get_by_label("Also waits for")
    await reach(page, source)
    await page.keyboard.type("first")
    await page.keyboard.press("Enter")
    await expect(text_of(page)).to_contain_text("[first]")
    await expect(source).to_be_focused()

    new = panel.get_by_label("New name")
    await reach(page, new)
    await page.keyboard.type("pages")
    await page.keyboard.press("Enter")
    pages = panel.get_by_role("textbox", name="pages", exact=True)
    await expect(pages).to_be_visible()
    await expect(new).to_be_focused()
    await reach(page, pages, "Shift+Tab")
    await page.keyboard.press("Control+a")
    await page.keyboard.type("3")
    await page.keyboard.press("Enter")
    await expect(text_of(page)).to_contain_text("pages: 3")
    await expect(pages).to_be_focused()
    await reach(page, panel.get_by_role("button", name="Take out pages"))
    await page.keyboard.press("Enter")
    await expect(text_of(page)).not_to_contain_text("pages")
    # What had the focus is gone; the panel has it.
    await expect(panel).to_be_focused()

    when = panel.get_by_role("textbox", name="Only if")
    await reach(page, when)
    await page.keyboard.type("1 > 2")
    await page.keyboard.press("Enter")
    await expect(text_of(page)).to_contain_text("1 > 2")
    await expect(when).to_be_focused()
    await reach(page, panel.get_by_role("button", name="Wait no more for first"))
    await page.keyboard.press("Enter")
    await expect(text_of(page)).not_to_contain_text("needs")

    name = panel.get_by_label("Name", exact=True)
    await reach(page, name)
    await page.keyboard.press("Control+a")
    await page.keyboard.type("third")
    await page.keyboard.press("Enter")
    panel = page.get_by_role("region", name="third")
    await expect(panel.get_by_label("Name", exact=True)).to_be_focused()
    await reach(page, panel.get_by_label("When it fails"))
    await page.keyboard.press("c")
    await expect(text_of(page)).to_contain_text("on_failure: continue")
    await reach(page, panel.get_by_role("button", name="Take out", exact=True), "Shift+Tab")
    await page.keyboard.press("Enter")
    await expect(text_of(page)).not_to_contain_text("third")
    await expect(page.locator(".editor-panel")).to_be_focused()


async def test_several_are_chosen_and_connected_in_a_row(visit: Any, world: Any, home: Household) -> None:
    page = await opened(visit, world, home)
    await go_down_to(page, row(page, "first"))
    await page.keyboard.press("Shift+ArrowDown")
    panel = page.get_by_role("region", name="2 nodes")
    await reach(page, panel.get_by_role("button", name="Connect one after the other"))
    await page.keyboard.press("Enter")
    await expect(text_of(page)).to_contain_text("[first]")
    await reach(page, page.get_by_role("button", name="Undo"))
    await page.keyboard.press("Enter")
    await expect(text_of(page)).not_to_contain_text("needs")


async def test_a_fault_leads_to_its_line_and_the_text_lets_go(visit: Any, world: Any, home: Household) -> None:
    page = await opened(visit, world, home)
    await reach(page, text_of(page))
    await page.keyboard.press("Control+End")
    await page.keyboard.insert_text("  third: {type: contract_probe, needs: [gone]}\n")
    await page.keyboard.press("Tab")
    await expect(text_of(page)).not_to_be_focused()
    fault = page.get_by_role("button", name="Line 4: there is no node 'gone'")
    await expect(fault).to_be_visible()
    await reach(page, fault)
    await page.keyboard.press("Enter")
    await expect(text_of(page)).to_be_focused()
    await expect(page.get_by_role("region", name="third")).to_be_visible()
    await page.keyboard.press("End")
    await page.keyboard.press("Control+z")
    await expect(page.get_by_text("Valid.")).to_be_visible()
    await expect(row(page, "third")).to_be_hidden()


async def test_versions_are_compared_taken_and_used_again(visit: Any, world: Any, home: Household) -> None:
    await Dags(world, home).apply("by-keys", DAG.replace("second", "other"))
    page = await opened(visit, world, home)
    compare = page.get_by_role("button", name="Compare with version 1")
    await reach(page, compare)
    await page.keyboard.press("Enter")
    differences = page.locator(".editor-differences")
    await expect(differences).to_contain_text("removed other")
    await reach(page, page.get_by_role("button", name="Close", exact=True))
    await page.keyboard.press("Enter")
    await expect(differences).to_be_hidden()
    await expect(compare).to_be_focused()

    await reach(page, page.get_by_role("button", name="Take the text of version 1"))
    await page.keyboard.press("Enter")
    await expect(text_of(page)).to_contain_text("other")
    is_kept = "Object.keys(localStorage).some(key => key.startsWith('taskgate.draft'))"
    await eventually(lambda: page.evaluate(is_kept), within=PATIENCE / 1000)
    await page.reload()
    await reach(page, page.get_by_role("button", name="Discard the draft"))
    await page.keyboard.press("Enter")
    await expect(text_of(page)).to_contain_text("second")

    await reach(page, page.get_by_role("button", name="Use again"))
    await page.keyboard.press("Enter")
    ask = page.get_by_role("alertdialog")
    await expect(ask.get_by_role("button", name="Go back")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(row(page, "other")).to_be_visible()
    await expect(page.locator(".part-line").first).to_contain_text("Version 1")


async def test_a_template_is_chosen_by_arrows(visit: Any, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "dags")
    await reach(page, page.get_by_role("button", name="New DAG"))
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Name")).to_be_focused()
    await page.keyboard.type("from-a-template")
    await page.keyboard.press("Tab")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await expect(dialog.get_by_role("radio").nth(2)).to_be_checked()
    await page.keyboard.press("Enter")
    await expect(text_of(page)).to_contain_text("Somebody decides")
    await expect(page.get_by_text("Valid.")).to_be_visible()


async def test_a_node_that_is_out_of_sight_comes_into_it(visit: Any, world: Any, home: Household) -> None:
    nodes = "".join(f"  n{at}: {{type: contract_probe, needs: [{f'n{at - 1}' if at else ''}]}}\n" for at in range(12))
    await Dags(world, home).apply("by-keys", f"nodes:\n{nodes}")
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "dags/by-keys")
    shape = page.locator(".react-flow__node")
    await expect(shape).to_have_count(12)
    await reach(page, page.get_by_role("button", name="Zoom in"))
    for _ in range(6):
        await page.keyboard.press("Enter")
    room = page.locator(".editor-middle .react-flow")
    last = shape.last.get_by_role("button")

    async def is_seen() -> bool:
        box, around = await last.bounding_box(), await room.bounding_box()
        assert box is not None
        assert around is not None
        return around["x"] <= box["x"] and box["x"] + box["width"] <= around["x"] + around["width"]

    assert not await is_seen()
    await reach(page, last, "Shift+Tab")
    await eventually(is_seen, within=PATIENCE / 1000)
