"""Runs of DAGs: the list, and one of them as a picture that lives."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Locator, Page, expect

from contracts.dag_world import Dags
from contracts.people import Household
from contracts.world import World
from gateway.routing.stages import Stage
from visitor import Visitor

DAG = """
name: pages
params:
  words: {type: list}
nodes:
  begin: {type: contract_probe, input: {do: ""}}
  each:
    type: contract_probe
    needs: [begin]
    for_each: params.words
    input: {do: "${ item }"}
    on_failure: continue
    retry: {attempts: 1}
  rare: {type: contract_probe, needs: [begin], when: size(params.words) > 9, input: {do: ""}}
  enough: {approval: {message: "Go on?"}, needs: [each]}
  upload: {signal: {name: uploaded}, needs: [enough]}
  last: {type: contract_probe, needs: [upload], input: {do: ""}}
"""


def node(page: Page, name: str) -> Locator:
    return page.locator(".run-picture").get_by_role("button", name=name)


async def test_a_run_is_followed_answered_and_seen_to_end(visit: Any, world: Any, home: Household) -> None:
    await world.flag.set(Stage.LIVE, home.tenant_id)
    dags = Dags(world, home)
    await dags.apply("pages", DAG)
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "dag-runs")
    await expect(page.get_by_role("heading", name="There is no run")).to_be_visible()
    await visitor.look("runs-none")

    run_id = await dags.start("pages", words=["", "fatal <b>no</b> such page", ""])
    link = page.get_by_role("link", name=run_id[-8:])
    await expect(link).to_be_visible()
    await expect(page.get_by_role("row").filter(has=link)).to_contain_text("running")
    await visitor.look("runs")
    await link.press("Enter")

    await expect(node(page, "begin")).to_contain_text("completed")
    await expect(node(page, "each")).to_contain_text("3 of 3")
    await expect(node(page, "rare")).to_contain_text("skipped")
    await expect(node(page, "rare")).to_contain_text("when: false")
    await expect(node(page, "enough")).to_contain_text("waiting")
    await node(page, "begin").press("Enter")
    await expect(page.get_by_role("heading", name="begin completed")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(node(page, "begin")).to_be_focused()
    await node(page, "each").press("Enter")
    panel = page.get_by_role("region", name="each")
    await expect(panel.get_by_role("link", name="each[1]")).to_be_visible()
    await expect(panel.get_by_text("<b>no</b> such page")).to_be_visible()
    await visitor.look("run-items")
    await page.reload()
    await expect(panel).to_be_visible()

    # By mouse, too.
    await node(page, "enough").click()
    panel = page.get_by_role("region", name="enough")
    await panel.get_by_label("Comment").press_sequentially("fine")
    # What is written is not lost.
    await page.keyboard.press("Escape")
    await panel.get_by_role("button", name="Approve").press("Enter")
    await expect(node(page, "enough")).to_contain_text("completed")
    await expect(panel.get_by_text('"comment":"fine"')).to_be_visible()
    await expect(node(page, "upload")).to_contain_text("waiting")
    await panel.get_by_role("button", name="Close").press("Enter")
    await expect(node(page, "enough")).to_be_focused()
    await visitor.look("run-running")

    await visitor.tab_to("Send a signal")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Name")).to_be_focused()
    await page.keyboard.type("uploaded")
    await dialog.get_by_label("Payload (JSON)").fill("{no")
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_text("This is not JSON.")).to_be_visible()
    await visitor.look("run-signal")
    await dialog.get_by_label("Payload (JSON)").fill('{"pages": 9007199254740993}')
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_text("It reached upload.")).to_be_visible()
    await node(page, "upload").press("Enter")
    # No number of JavaScript has these digits.
    await expect(page.get_by_role("region", name="upload").get_by_text("9007199254740993")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(node(page, "last")).to_contain_text("completed")
    await expect(page.locator(".part-line")).to_contain_text("completed")
    await expect(page.get_by_role("row", name="last critical path")).to_be_visible()
    await visitor.look("run-completed")


INNER = """
name: deep
nodes:
  look: {type: contract_probe, input: {do: ""}}
  agree: {approval: {message: "Go on?"}, needs: [look]}
"""
AROUND = """
name: around
nodes:
  first: {type: contract_probe, input: {do: ""}}
  within: {dag: deep, needs: [first]}
  last: {type: contract_probe, needs: [within], input: {do: ""}}
"""


async def test_a_run_inside_of_a_run_is_opened_in_place(visit: Any, world: Any, home: Household) -> None:
    await world.flag.set(Stage.LIVE, home.tenant_id)
    dags = Dags(world, home)
    await dags.apply("deep", INNER)
    await dags.apply("around", AROUND)
    run_id = await dags.start("around")
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, f"dag-runs/{run_id}")
    opener = page.get_by_role("button", name="Inside of within")
    await expect(opener).to_have_attribute("aria-expanded", "false")
    await opener.press("Enter")
    await expect(node(page, "look")).to_contain_text("completed")
    await expect(node(page, "agree")).to_contain_text("waiting")
    await node(page, "agree").press("Enter")
    panel = page.get_by_role("region", name="agree")
    await visitor.look("run-inside")
    # What is open stands in the address, and what is done there is done to the run inside.
    await page.reload()
    await panel.get_by_role("button", name="Approve").press("Enter")
    await expect(node(page, "agree")).to_contain_text("completed")
    await expect(node(page, "last")).to_contain_text("completed")
    await page.get_by_role("button", name="Inside of within").press("Enter")
    await expect(node(page, "look")).to_be_hidden()


async def test_a_cancelled_run_goes_on_and_a_node_is_skipped(visit: Any, world: Any, home: Household) -> None:
    await world.flag.set(Stage.LIVE, home.tenant_id)
    dags = Dags(world, home)
    await dags.apply("pages", DAG)
    run_id = await dags.start("pages", words=[])
    await dags.until(run_id, "enough", "waiting")
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, f"dag-runs/{run_id}?node=enough")
    head = page.locator(".part-line")
    await expect(head).to_contain_text("running")
    await page.get_by_role("button", name="Cancel the run").press("Enter")
    await page.get_by_role("alertdialog").get_by_role("button", name="Cancel the run").press("Enter")
    await expect(head).to_contain_text("cancelled")
    # By somebody else: who looks at an ended run is told, too.
    assert (await dags.post(f"{run_id}/retry")).status_code == 200
    await expect(head).to_contain_text("running")
    await expect(node(page, "enough")).to_contain_text("waiting")
    panel = page.get_by_role("region", name="enough")
    await panel.get_by_label("Why it is skipped").fill("not needed")
    await panel.get_by_role("button", name="Skip").press("Enter")
    await expect(node(page, "enough")).to_contain_text("skipped")
    await expect(panel.get_by_text("not needed")).to_be_visible()


async def test_the_same_in_chinese(visit: Any, world: Any, home: Household) -> None:
    await world.flag.set(Stage.LIVE, home.tenant_id)
    dags = Dags(world, home)
    await dags.apply("pages", DAG)
    run_id = await dags.start("pages", words=[""])
    await dags.until(run_id, "enough", "waiting")
    visitor: Visitor = await visit(locale="zh-CN")
    page = visitor.page
    await visitor.open(f"dag-runs/{run_id}")
    await page.get_by_label("API 密钥").press_sequentially(home.owner.key)
    await page.keyboard.press("Enter")
    await expect(node(page, "enough")).to_contain_text("等待中")
    await visitor.look("run-zh")


async def test_nobody_sees_runs_of_others(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    await visitor.sign_in(home.owner.key, "dag-runs/nothing")
    await expect(visitor.page.get_by_role("heading", name="There is no such run")).to_be_visible()
    # The browser writes down that the answer was 404.
    visitor.faults[:] = [fault for fault in visitor.faults if "404" not in fault]
