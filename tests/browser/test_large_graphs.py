"""Graphs of a thousand nodes: few elements, laid out once, whatever their nodes do."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.async_api import expect

from contracts.dag_world import Dags
from contracts.least import least
from contracts.people import Household
from contracts.world import World
from gateway.routing.stages import Stage
from instruments import elements, instrument, noted
from visitor import PATIENCE, Visitor

NODE = ".react-flow__node"
ROWS = 40


def layered(count: int) -> str:
    """Behind an approval, 40 beside each other; they do nothing."""
    nodes: dict[str, Any] = {"gate": {"approval": {"message": "Go on?"}}}
    for number in range(1, count):
        row, column = divmod(number - 1, ROWS)
        needs = [f"n{(row - 1) * ROWS + column + 1}"] if row else ["gate"]
        nodes[f"n{number}"] = {"type": "contract_probe", "needs": needs, "when": "size(params.words) > 9"}
    return json.dumps({"params": {"words": {"type": "list"}}, "nodes": nodes})


async def test_a_large_run_has_few_elements_and_is_laid_out_once(visit: Any, world: World, home: Household) -> None:
    await world.flag.set(Stage.LIVE, home.tenant_id)
    dags = Dags(world, home)
    await dags.apply("wide", layered(1000))
    run_id = await dags.start("wide", words=[])
    await dags.until(run_id, "gate", "waiting")
    visitor: Visitor = await visit()
    page = visitor.page
    await instrument(page, NODE)
    await visitor.sign_in(home.owner.key, f"dag-runs/{run_id}")
    # From afar, one shape for those that wait and one for all others; near, each node with its words.
    await expect(page.locator(".graph-far-warn")).to_be_attached(timeout=2 * PATIENCE)
    await expect(page.locator(".graph-far-quiet")).to_be_attached()
    await visitor.look("run-large")
    assert await elements(page) <= 15_000
    assert len((await noted(page))["layouts"]) == 1
    assert (await dags.post(f"{run_id}/nodes/gate/approve", {"approved": True})).status_code == 200
    await expect(page.locator(".part-line")).to_contain_text("completed", timeout=3 * PATIENCE)
    await expect(page.locator(".graph-far-good")).to_be_attached()
    await page.get_by_role("button", name="Zoom in").focus()
    while not await page.locator(NODE).count():
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Zoom in")).to_be_enabled()
    await expect(page.locator(NODE).first).to_contain_text(re.compile("completed|skipped"))
    assert await elements(page) <= 15_000
    assert len((await noted(page))["layouts"]) == 1


async def test_long_chains_and_wide_stars_are_laid_out_soon(visit: Any, world: World, home: Household) -> None:
    """Each takes a tenth of the two seconds when the machine is quiet."""
    dags = Dags(world, home)
    chain = {f"n{at}": {"type": "contract_probe", "needs": [f"n{at - 1}"] if at else []} for at in range(500)}
    star: dict[str, Any] = {"hub": {"type": "contract_probe"}}
    star |= {f"n{at}": {"type": "contract_probe", "needs": ["hub"]} for at in range(250)}
    visitor: Visitor = await visit()
    page = visitor.page
    await instrument(page, NODE)
    await visitor.sign_in(home.owner.key, "dags")
    for name, nodes in (("chain", chain), ("star", star)):
        await dags.apply(name, json.dumps({"nodes": nodes}))

        async def longest(path: str = f"dags/{name}") -> float:
            await visitor.open(path)
            await expect(page.locator(".graph-far-node")).to_be_attached(timeout=2 * PATIENCE)
            return max((await noted(page))["layouts"])

        assert await least(longest, enough=2000) <= 2000
