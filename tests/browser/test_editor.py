"""The editor of DAGs: canvas, outline, panel and text are one; nothing that was written is lost."""

from __future__ import annotations

import re
from typing import Any

from playwright.async_api import Locator, Page, expect

from contracts.dag_world import Dags
from contracts.people import Household
from dag_editor import row, text_of
from gateway.routing.stages import Stage
from visitor import PATIENCE, Visitor
from workers.testing.waiting import eventually

DAG = """# Kept, whatever the canvas does.
nodes:
  fetch: {type: contract_probe, input: {do: ""}}   # first
  sum:
    type: contract_probe
    needs: [fetch]
    input: &base
      do: ""
  tell:
    type: contract_probe
    needs: [sum]
    input: *base
"""


def node(page: Page, name: str) -> Locator:
    return page.locator(".editor-middle").get_by_role("button", name=re.compile(f"^{name}"))


async def replace_text(page: Page, text: str) -> None:
    await text_of(page).focus()
    await page.keyboard.press("Control+a")
    await page.keyboard.insert_text(text)


async def test_a_dag_is_drawn_saved_and_run_by_keyboard_alone(visit: Any, world: Any, home: Household) -> None:
    await world.flag.set(Stage.LIVE, home.tenant_id)
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "dags")
    await visitor.tab_to("New DAG")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Name")).to_be_focused()
    await page.keyboard.type("by-keys")
    await page.keyboard.press("Tab")
    await visitor.look("dag-new")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="by-keys")).to_be_visible()

    await visitor.tab_to("Add contract_probe Task type")
    await page.keyboard.press("Enter")
    await expect(node(page, "contract_probe")).to_be_visible()
    await page.keyboard.press("Enter")
    await expect(node(page, "contract_probe_2")).to_be_visible()
    await expect(text_of(page)).to_contain_text("needs: [contract_probe]")
    await expect(page.get_by_text("Valid.")).to_be_visible()

    # From the outline to the panel and back.
    await row(page, "contract_probe_2").focus()
    await page.keyboard.press("Enter")
    name = page.get_by_role("region", name="contract_probe_2").get_by_label("Name", exact=True)
    await expect(name).to_be_focused()
    await page.keyboard.press("Control+a")
    await page.keyboard.type("last")
    await page.keyboard.press("Enter")
    await expect(node(page, "last")).to_be_visible()
    when = page.get_by_role("region", name="last").get_by_role("textbox", name="Only if")
    await when.focus()
    await page.keyboard.type("nodes.")
    await expect(page.get_by_role("option", name="contract_probe")).to_be_visible()
    await page.keyboard.press("Enter")
    await page.keyboard.type(".status == 'completed'")
    await page.keyboard.press("Enter")
    await expect(text_of(page)).to_contain_text("when: nodes.contract_probe.status == 'completed'")
    await row(page, "last").focus()
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Delete")
    await expect(node(page, "contract_probe")).to_be_hidden()
    await expect(page.get_by_text("1 fault").first).to_be_visible()
    await page.keyboard.press("Control+z")
    await expect(node(page, "contract_probe")).to_be_visible()
    await expect(page.get_by_text("Valid.")).to_be_visible()
    await visitor.look("dag-editor")

    await visitor.tab_to("Save")
    await page.keyboard.press("Enter")
    await page.get_by_role("dialog").get_by_label("Label (optional)").press("Enter")
    await expect(page.get_by_text("Saved as version 1.")).to_be_visible()
    await visitor.tab_to("Run")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Dry run").press("Enter")
    await expect(dialog.get_by_text("It can run: 2 nodes")).to_be_visible()
    await visitor.look("dag-dry-run")
    await dialog.get_by_role("button", name="Run it").press("Enter")
    await expect(page.get_by_role("heading", name="by-keys, version 1")).to_be_visible()


async def test_faults_stand_at_their_node_and_line(visit: Any, world: Any, home: Household) -> None:
    await Dags(world, home).apply("faulty", DAG)
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "dags/faulty")
    await expect(node(page, "tell")).to_be_visible()
    await replace_text(page, DAG.replace("needs: [sum]", "needs: [gone]"))
    await expect(node(page, "tell")).to_contain_text("1 fault")
    await expect(page.get_by_role("region", name="Faults")).to_contain_text("Line 11: there is no node 'gone'")
    await expect(page.locator(".cm-lint-marker-error")).to_have_count(1)
    await visitor.look("dag-faults")
    # No YAML at all: the picture stays, the text says where.
    await replace_text(page, "nodes:\n  a: [\n")
    await expect(page.get_by_role("region", name="Faults")).to_contain_text("Line")
    await expect(node(page, "tell")).to_be_visible()
    await page.keyboard.press("Control+z")
    await page.keyboard.press("Control+z")
    await expect(page.get_by_text("Valid.")).to_be_visible()
    # An alias survives an edit of one of its places, and so do the comments.
    await node(page, "tell").click()
    panel = page.get_by_role("region", name="tell")
    await panel.get_by_role("textbox", name="do", exact=True).fill("fatal no")
    await page.keyboard.press("Enter")
    await expect(text_of(page)).to_contain_text("<<: *base")
    await expect(text_of(page)).to_contain_text("# first")


async def test_two_edit_one_dag_and_the_second_is_told(visit: Any, world: Any, home: Household) -> None:
    dags = Dags(world, home)
    await dags.apply("shared", DAG)
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "dags/shared")
    await expect(node(page, "tell")).to_be_visible()
    await replace_text(page, DAG.replace("fetch", "read"))
    await expect(node(page, "read")).to_be_visible()
    theirs = DAG + "  more: {type: contract_probe, input: {do: ''}}\n"
    await dags.apply("shared", theirs)
    await page.get_by_role("button", name="Save").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog.get_by_text("Somebody else has saved version 2 meanwhile")).to_be_visible()
    await expect(dialog.locator(".editor-differences")).to_contain_text("removed more")
    await visitor.look("dag-conflict")
    assert (await dags.http.get("/gateway/v1/dags/shared")).json()["source"] == theirs
    await dialog.get_by_role("button", name="Go back").click()
    await expect(text_of(page)).to_contain_text("read")
    await page.get_by_role("button", name="Compare with version 1").click()
    await expect(page.locator(".editor-differences").last).to_contain_text("added read")
    await visitor.look("dag-difference")
    visitor.faults[:] = [fault for fault in visitor.faults if "409" not in fault]


async def test_a_draft_survives_a_reload_and_an_ended_session(visit: Any, world: Any, home: Household) -> None:
    dags = Dags(world, home)
    await dags.apply("drafted", DAG)
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "dags/drafted")
    await expect(node(page, "tell")).to_be_visible()
    await replace_text(page, DAG + "# mine\n")
    # Not `wait_for_function`, which evaluates a string in the page.
    is_kept = "Object.keys(localStorage).some(key => key.startsWith('taskgate.draft'))"
    await eventually(lambda: page.evaluate(is_kept), within=PATIENCE / 1000)
    await page.reload()
    await expect(page.get_by_text("This is your draft")).to_be_visible()
    await expect(text_of(page)).to_contain_text("# mine")
    kept: str = await page.evaluate("JSON.stringify(localStorage)")
    assert home.owner.key not in kept

    await replace_text(page, DAG + "# mine again\n")
    await expect(text_of(page)).to_contain_text("# mine again")
    await page.context.clear_cookies()
    # What is typed next is checked, and so the page learns of it; the question for the key may come before its end.
    await page.keyboard.type("# and more")
    await expect(page.get_by_text("The session has ended")).to_be_visible()
    await page.get_by_label("API key").fill(home.owner.key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("The session has ended")).to_be_hidden()
    await expect(text_of(page)).to_contain_text("# mine again")
    await page.get_by_role("button", name="Discard the draft").click()
    await expect(text_of(page)).not_to_contain_text("# mine")
    visitor.faults[:] = [fault for fault in visitor.faults if "401" not in fault]


async def test_five_thousand_nodes_are_pasted(visit: Any, world: Any, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "dags/large")
    await expect(text_of(page)).to_be_visible()
    lines = ["nodes:", "  n0: {type: contract_probe}"]
    lines += [f"  n{number}: {{type: contract_probe, needs: [n{(number - 1) // 3}]}}" for number in range(1, 5000)]
    await replace_text(page, "\n".join(lines) + "\n")
    # The counts of the outline, as numbers are written.
    await expect(row(page, "Nodes, 5,000")).to_be_visible(timeout=4 * PATIENCE)
    # All of them are seen, from afar.
    await expect(page.locator(".graph-far-node")).to_be_attached(timeout=4 * PATIENCE)
    assert await page.locator("*").count() < 15_000
    await page.get_by_label("Find a type").fill("contract_probe")
    await page.get_by_role("button", name="Add contract_probe").click()
    await expect(row(page, "Nodes, 5,001")).to_be_visible(timeout=4 * PATIENCE)


async def test_templates_are_valid_and_chinese_is_spoken(visit: Any, world: Any, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "dags")
    for template in ("fan_out", "approval", "saga", "episode"):
        await visitor.open(f"dags/my-{template.replace('_', '-')}?template={template}")
        await expect(page.locator(".react-flow__node").first).to_be_visible()
        await expect(page.get_by_text("Valid.")).to_be_visible()
    await visitor.look("dag-template")
    visitor = await visit(locale="zh-CN")
    page = visitor.page
    await visitor.open("dags/my-saga?template=saga")
    await page.get_by_label("API 密钥").press_sequentially(home.owner.key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("有效。")).to_be_visible()
    await visitor.look("dag-editor-zh")
