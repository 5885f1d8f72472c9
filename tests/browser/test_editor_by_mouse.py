"""The canvas by mouse: what is dragged, connected and chosen there changes the text, and undo takes it back."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Locator, Page, expect

from contracts.dag_world import Dags
from contracts.people import Household
from dag_editor import row, text_of
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
    lines = text_of(page).locator(".cm-line")
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


#: So many are seen from afar: shapes without words.
MANY = 210
#: Where each node stands on the screen, in the order of the text.
_PLACES = """() => {
  const svg = document.querySelector(".graph-far");
  const at = svg.getScreenCTM();
  const path = svg.querySelector(".graph-far-node").getAttribute("d");
  return [...path.matchAll(/M(\\S+) (\\S+?)h(\\S+?)v(\\S+?)h/g)].map((found) => {
    const [x, y, width, height] = found.slice(1).map(Number);
    return {x: at.e + at.a * x, y: at.f + at.d * y, width: at.a * width, height: at.d * height};
  });
}"""


async def from_afar(visit: Any, world: Any, home: Household) -> tuple[Page, list[dict[str, float]]]:
    """A large DAG, and where its nodes are seen."""
    lines = [f"  n{at}: {{type: contract_probe, needs: [{f'n{at - 15}' if at >= 15 else ''}]}}" for at in range(MANY)]
    await Dags(world, home).apply("from-afar", "\n".join(["nodes:", *lines]) + "\n")
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "dags/from-afar")
    await expect(page.locator(".graph-far-node")).to_be_attached()
    seen: list[Any] = []

    async def places() -> bool:
        seen.append(await page.evaluate(_PLACES))
        return len(seen) > 5 and all(found == seen[-1] for found in seen[-5:])

    await eventually(places, within=PATIENCE / 1000)
    assert len(seen[-1]) == MANY
    assert await page.locator(".react-flow__node").count() == 0
    return page, seen[-1]


def centre(box: dict[str, float]) -> tuple[float, float]:
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


async def test_a_type_is_dragged_onto_a_node_that_is_far_away(visit: Any, world: Any, home: Household) -> None:
    page, places = await from_afar(visit, world, home)
    chip = page.get_by_role("button", name="Add contract_probe Task type")
    pane = page.locator(".react-flow__pane")
    corner = await pane.bounding_box()
    assert corner is not None
    x, y = centre(places[37])
    await chip.drag_to(pane, target_position={"x": x - corner["x"], "y": y - corner["y"]})
    added = page.get_by_role("region", name="contract_probe", exact=True)
    await expect(added.get_by_role("button", name="Wait no more for n37")).to_be_visible()
    await page.get_by_role("button", name="Undo").click()
    await expect(row(page, f"Nodes, {MANY}")).to_be_visible()
    await chip.drag_to(pane, target_position={"x": 5, "y": 5})
    await expect(added.get_by_text("nothing", exact=True)).to_be_visible()


async def test_what_a_box_selects_from_afar_is_taken_out_at_once(visit: Any, world: Any, home: Household) -> None:
    page, places = await from_afar(visit, world, home)
    # Around the whole of four, and over a part of their neighbours.
    chosen = [places[at] for at in (80, 81, 95, 96)]
    left, top = min(box["x"] for box in chosen), min(box["y"] for box in chosen)
    right = max(box["x"] + box["width"] for box in chosen)
    bottom = max(box["y"] + box["height"] for box in chosen)
    inside = [
        f"n{at}"
        for at, box in enumerate(places)
        if box["x"] >= left - 1
        and box["y"] >= top - 1
        and box["x"] + box["width"] <= right + 1
        and box["y"] + box["height"] <= bottom + 1
    ]
    assert {"n80", "n81", "n95", "n96"} <= set(inside)
    assert len(inside) < MANY / 2
    await page.keyboard.down("Shift")
    await drag(page, (left - 1, top - 1), (right + 1, bottom + 1))
    await page.keyboard.up("Shift")
    panel = page.get_by_role("region", name=f"{len(inside)} nodes")
    await expect(panel.get_by_text(", ".join(inside), exact=True)).to_be_visible()
    await expect(page.locator(".graph-far-chosen")).to_be_attached()
    await page.keyboard.press("Delete")
    await expect(row(page, f"Nodes, {MANY - len(inside)}")).to_be_visible()
    await page.keyboard.press("Control+z")
    await expect(row(page, f"Nodes, {MANY}")).to_be_visible()


async def test_a_double_click_from_afar_shows_a_node_near(visit: Any, world: Any, home: Household) -> None:
    page, places = await from_afar(visit, world, home)
    await page.mouse.dblclick(*centre(places[100]))
    await expect(node(page, "n100")).to_be_visible()
    await expect(node(page, "n100").get_by_role("button")).to_have_attribute("aria-pressed", "true")
    # From here edges can be drawn.
    await expect(node(page, "n100").locator(".source")).to_be_visible()
