"""Large graphs, as runs and in the editor: until they are drawn, panned, and what a change of state costs."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from statistics import median
from typing import Any

import httpx
from playwright.async_api import Page, expect

from tests.browser.support.instruments import elements, noted
from tests.performance.console.frames import Frames, traced
from tests.performance.console.visits import Person

ROUNDS = int(os.environ.get("CONSOLE_ROUNDS", "5"))
#: Nodes, and how often they are opened.
SIZES = [
    (count, ROUNDS if count <= 1000 else 1)
    for count in map(int, os.environ.get("CONSOLE_NODES", "1000,5000").split(","))
]
WIDTH = 40
#: A node as it is, or all of them from afar.
NODE = ".react-flow__node, .graph-far"
PANE = ".react-flow__pane"
#: A picture that has not moved for so long is drawn (milliseconds).
STILL = 600


def layered(count: int, *, gate: bool) -> dict[str, Any]:
    """So many nodes, 40 beside each other, each behind two of those before; all behind an approval, if wanted."""
    nodes: dict[str, Any] = {"gate": {"approval": {"message": "Go on?"}}} if gate else {}
    for number in range(count):
        row, column = divmod(number, WIDTH)
        before = (row - 1) * WIDTH
        needs = [f"n{before + column}", f"n{before + min(column + 1, WIDTH - 1)}"] if row else ["gate"] * gate
        nodes[f"n{number}"] = {"type": "bench_noop", "needs": list(dict.fromkeys(needs))}
    return nodes


async def apply(http: httpx.AsyncClient, name: str, nodes: Mapping[str, Any]) -> None:
    """As YAML, a node a line: so the editor shows it."""
    lines = [f"  {node}: {json.dumps(fields)}" for node, fields in nodes.items()]
    answer = await http.put(
        f"/gateway/v1/dags/{name}",
        content="\n".join(["nodes:", *lines, ""]),
        headers={"Content-Type": "application/yaml"},
        params={"any_types": True},
    )
    answer.raise_for_status()


async def start(http: httpx.AsyncClient, name: str) -> str:
    """A run that waits at its gate."""
    answer = await http.post("/gateway/v1/dag-runs", json={"dag": name, "params": {}})
    answer.raise_for_status()
    run_id = str(answer.json()["run_id"])
    async with asyncio.timeout(60):
        while not await _waits(http, run_id):
            await asyncio.sleep(0.05)
    return run_id


async def _waits(http: httpx.AsyncClient, run_id: str) -> bool:
    nodes = (await http.get(f"/gateway/v1/dag-runs/{run_id}")).json()["nodes"]
    return any(node["path"] == "gate" and node["status"] == "waiting" for node in nodes)


async def approve(http: httpx.AsyncClient, run_id: str) -> None:
    answer = await http.post(f"/gateway/v1/dag-runs/{run_id}/nodes/gate/approve", json={"approved": True})
    answer.raise_for_status()


async def runs(person: Person, http: httpx.AsyncClient) -> dict[str, Any]:
    """A run of 1,000 nodes, waiting and then moving, and one of 5,000."""
    figures: dict[str, Any] = {}
    for count, rounds in SIZES:
        await apply(http, f"console-{count}", layered(count - 1, gate=True))
        run_id = await start(http, f"console-{count}")
        opened = await _opened(person, f"dag-runs/{run_id}", rounds)
        async with person.page(NODE) as page:
            await person.open(page, f"dag-runs/{run_id}")
            await drawn(page)
            figures[f"run of {count}"] = {**opened, **await _panned(person, page)}
            print(figures, flush=True)
            if count == 1000:
                figures["run of 1000, moving"] = await _moving(person, page, http, run_id)
    return figures


async def editors(person: Person, http: httpx.AsyncClient) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for count, rounds in SIZES:
        name = f"console-edit-{count}"
        await apply(http, name, layered(count, gate=False))
        opened = await _opened(person, f"dags/{name}", rounds)
        async with person.page(NODE) as page:
            await person.open(page, f"dags/{name}")
            await drawn(page)
            figures[f"editor with {count}"] = {**opened, **await _panned(person, page)}
    return figures


async def layouts(person: Person, http: httpx.AsyncClient) -> dict[str, Any]:
    """Layouts alone, with the start of their worker."""
    chain = {f"n{at}": {"type": "bench_noop", "needs": [f"n{at - 1}"] if at else []} for at in range(500)}
    star: dict[str, Any] = {"hub": {"type": "bench_noop"}}
    star |= {f"n{at}": {"type": "bench_noop", "needs": ["hub"]} for at in range(250)}
    took = {}
    for name, nodes in (("chain of 500", chain), ("star of 250", star)):
        address = f"console-{name.replace(' ', '-')}"
        await apply(http, address, nodes)
        async with person.page(NODE) as page:
            await person.open(page, f"dags/{address}")
            await drawn(page)
            took[name] = round(max((await noted(page))["layouts"]))
    return {"layout": {f"{name} ms": value for name, value in took.items()}}


async def drawn(page: Page) -> float:
    """Milliseconds from the navigation to the frame with the nodes where they stay."""
    async with asyncio.timeout(60):
        while True:
            # Not `expect`: it goes through the whole page each time, and the page waits for that.
            notes = await noted(page)
            at = max(notes["first"].get(NODE, 0), notes["moved"])
            if notes["first"].get(NODE) and await page.evaluate("performance.now()") - at > STILL:
                return float(at)
            await asyncio.sleep(0.05)


async def _opened(person: Person, path: str, rounds: int) -> dict[str, Any]:
    """By address, with nothing in the cache."""
    took, longest, counts = [], [], []
    for _ in range(rounds):
        async with person.page(NODE) as page:
            await person.open(page, path)
            took.append(await drawn(page))
            counts.append(await elements(page))
            longest.append(max((await noted(page))["layouts"]))
    return {
        "drawn_ms": round(median(took)),
        "drawn_worst_ms": round(max(took)),
        "layout_ms": round(median(longest)),
        "elements": max(counts),
    }


async def _panned(person: Person, page: Page) -> dict[str, Any]:
    """From afar, where most nodes are seen, and as large as they are."""
    far = Frames()
    async with traced(person.browser, page, far):
        await pan(page)
    zoom = page.get_by_role("button", name="Zoom in")
    for _ in range(14):
        if await zoom.is_disabled():
            break
        await zoom.click()
    near = Frames()
    async with traced(person.browser, page, near):
        await pan(page)
    counts = await elements(page)
    return {"far": far.figures(), "near": {**near.figures(), "elements": counts}}


async def pan(page: Page, sweeps: int = 6) -> None:
    """Drag the background to and fro, 20 pixels a frame."""
    box = await page.locator(PANE).bounding_box()
    assert box is not None
    for sweep in range(sweeps):
        direction = 1 if sweep % 2 else -1
        x, y = await _background(page, box, from_right=direction < 0)
        await page.mouse.move(x, y)
        await page.mouse.down()
        for step in range(1, 31):
            await page.mouse.move(x + direction * step * 20, y + (step % 10 - 5) * 3)
        await page.mouse.up()


_FIND_BACKGROUND = """([xs, ys]) => {
  for (const x of xs) for (const y of ys)
    if (document.elementFromPoint(x, y)?.classList.contains("react-flow__pane")) return [x, y];
  return null;
}"""


async def _background(page: Page, box: Any, *, from_right: bool) -> tuple[float, float]:
    """A point of the picture where no node is."""
    columns = range(20, int(box["width"]) - 20, 15)
    rows = range(20, int(box["height"]) - 20, 7)
    at = await page.evaluate(
        _FIND_BACKGROUND,
        [
            [box["x"] + column for column in (reversed(columns) if from_right else columns)],
            [box["y"] + row for row in rows],
        ],
    )
    assert at is not None, "there is no background"
    return at[0], at[1]


async def _moving(person: Person, page: Page, http: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """Panned while its nodes run; how often it was laid out meanwhile."""
    before = len((await noted(page))["layouts"])
    frames = Frames()
    await page.get_by_role("button", name="Show all").click()
    await approve(http, run_id)
    async with traced(person.browser, page, frames):
        await pan(page)
    await expect(page.locator(".part-line")).to_contain_text("completed", timeout=120_000)
    return {**frames.figures(), "layouts_meanwhile": len((await noted(page))["layouts"]) - before}
