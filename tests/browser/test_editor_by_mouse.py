"""The canvas by mouse: what is dragged, connected and chosen there changes the text, and undo takes it back."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Locator, Page, expect

from contracts.dag_world import Dags
from contracts.people import Household
from visitor import PATIENCE, Visitor
from workers.testing.waiting import eventually

DAG = """# Kept, whatever the canvas does.
nodes:
  fetch: {type: contract_probe, input: {do: ""}}   # first
  sum:
    type: contract_probe
    needs: [fetch]   # both
  count: {type: contract_probe, needs: [fetch]}
  tell:
    type: contract_probe
    needs: [sum]

# The end.
"""


def node(page: Page, name: str) -> Locator:
    return page.locator(f".react-flow__node[data-id='{name}']")


async def text(page: Page) -> str:
    """What stands in the text, to the byte."""
    lines = page.get_by_role("textbox", name="The DAG as YAML").locator(".cm-line")
    return "\n".join(await lines.evaluate_all("lines => lines.map((line) => line.textContent)"))


async def becomes(page: Page, expected: str) -> None:
    await eventually(lambda: text(page), lambda found: found == expected, within=PATIENCE / 1000)


async def undone(page: Page) -> None:
    """The text is as it was, to the byte."""
    await page.get_by_role("button", name="Undo").click()
    await becomes(page, DAG)


async def opened(visit: Any, world: Any, home: Household) -> Page:
    await Dags(world, home).apply("by-mouse", DAG)
    visitor: Visitor = await visit()
    await visitor.sign_in(home.owner.key, "dags/by-mouse")
    await expect(node(visitor.page, "tell")).to_be_visible()
    await becomes(visitor.page, DAG)
    await still(visitor.page)
    return visitor.page


async def still(page: Page) -> None:
    """Return when the picture has been fitted to its room: until then it moves under the mouse."""
    seen: list[Any] = []

    async def place() -> bool:
        seen.append(await node(page, "tell").bounding_box())
        return len(seen) > 5 and all(box == seen[-1] for box in seen[-5:])

    await eventually(place, within=PATIENCE / 1000)


async def middle(place: Locator) -> tuple[float, float]:
    box = await place.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


async def drag(page: Page, begin: tuple[float, float], end: tuple[float, float]) -> None:
    await page.mouse.move(*begin)
    await page.mouse.down()
    await page.mouse.move(*end, steps=8)
    await page.mouse.up()


async def test_a_type_is_dragged_onto_the_canvas_and_onto_a_node(visit: Any, world: Any, home: Household) -> None:
    page = await opened(visit, world, home)
    chip = page.get_by_role("button", name="Add contract_probe Task type")
    await chip.drag_to(page.locator(".react-flow__pane"), target_position={"x": 12, "y": 12})
    await expect(node(page, "contract_probe")).to_be_visible()
    new = "  contract_probe:\n    type: contract_probe\n"
    assert await text(page) == DAG.replace("needs: [sum]\n", f"needs: [sum]\n{new}")
    await undone(page)
    await expect(node(page, "contract_probe")).to_be_hidden()
    await still(page)
    await chip.drag_to(node(page, "tell"))
    await becomes(page, DAG.replace("needs: [sum]\n", f"needs: [sum]\n{new}    needs: [tell]\n"))
    await undone(page)


async def test_nodes_are_connected_by_their_handles_and_taken_apart(visit: Any, world: Any, home: Household) -> None:
    page = await opened(visit, world, home)
    source, target = node(page, "count").locator(".source"), node(page, "tell").locator(".target")
    await drag(page, await middle(source), await middle(target))
    await becomes(page, DAG.replace("needs: [sum]", "needs: [sum, count]"))
    await expect(page.locator("[aria-label='Edge from count to tell']")).to_be_attached()
    await undone(page)
    # Nothing waits for itself, and a line that ends nowhere is none.
    await still(page)
    await drag(page, await middle(source), await middle(node(page, "count").locator(".target")))
    box = await page.locator(".react-flow__pane").bounding_box()
    assert box is not None
    await drag(page, await middle(source), (box["x"] + 6, box["y"] + 6))
    assert await text(page) == DAG
    # The line between two that lie beside each other is straight.
    first, second = await middle(node(page, "sum").locator(".source")), await middle(target)
    await page.mouse.click((first[0] + second[0]) / 2, (first[1] + second[1]) / 2)
    await expect(page.locator(".editor-edge-chosen")).to_have_count(1)
    await page.keyboard.press("Delete")
    await becomes(page, DAG.replace("    needs: [sum]\n", ""))
    await undone(page)


async def test_what_a_box_selects_is_taken_out_at_once(visit: Any, world: Any, home: Household) -> None:
    page = await opened(visit, world, home)
    box = await page.locator(".react-flow__pane").bounding_box()
    right = await node(page, "tell").bounding_box()
    left = await node(page, "count").bounding_box()
    assert box is not None
    assert right is not None
    assert left is not None
    await page.keyboard.down("Shift")
    end = (right["x"] + right["width"] + 4, box["y"] + box["height"] - 4)
    await drag(page, (left["x"] - 6, box["y"] + 4), end)
    await page.keyboard.up("Shift")
    for name, is_chosen in (("fetch", "false"), ("sum", "true"), ("count", "true"), ("tell", "true")):
        await expect(node(page, name).get_by_role("button")).to_have_attribute("aria-pressed", is_chosen)
    await page.keyboard.press("Delete")
    await expect(page.locator(".react-flow__node")).to_have_count(1)
    kept = '# Kept, whatever the canvas does.\nnodes:\n  fetch: {type: contract_probe, input: {do: ""}}   # first\n'
    assert (await text(page)).startswith(kept)
    assert "sum" not in await text(page)
    await page.keyboard.press("Control+z")
    await becomes(page, DAG)
