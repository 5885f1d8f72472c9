"""Plans on the migration page: waves and gates, why one stands, and what is done to it."""

from __future__ import annotations

from typing import Any

from playwright.async_api import expect

from contracts.people import Household
from contracts.world import World
from gateway.routing.stages import Stage
from visitor import Visitor

PATH = "/gateway/v1/migration/plans"


async def test_a_plan_is_started_paused_approved_and_done(visit: Any, world: World, home: Household) -> None:
    name = f"plan-{home.name}"
    text = (
        f"name: {name}\nwhy: the <b>move</b>\nbake: '0'\ngates: {{approval: true}}\n"
        f"waves: [{{name: pilot, tenants: [{home.tenant_id}]}}]\n"
    )
    headers = {"Content-Type": "application/yaml"}
    answer = await world.client(world.admin).put(f"{PATH}/{name}", content=text, headers=headers)
    assert answer.status_code == 200, answer.text
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(world.admin.key, "migration")
    plan = page.get_by_role("article", name=name)
    await expect(plan.get_by_text("draft", exact=True)).to_be_visible()
    await expect(plan.get_by_text("What for: the <b>move</b>")).to_be_visible()

    async def do(what: str, why: str) -> None:
        await plan.get_by_role("button", name=what, exact=True).press("Enter")
        await expect(page.get_by_role("dialog").get_by_label("Why")).to_be_focused()
        await page.keyboard.type(why)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_hidden()

    await do("Start", "it is spring")
    wave = plan.get_by_role("row", name="pilot")
    await expect(wave.get_by_role("cell").nth(2)).to_contain_text("1")
    await expect(plan.get_by_text("approv").first).to_be_visible()
    assert world.flag.stage(home.tenant_id) is Stage.LIVE
    await do("Pause", "a look at it")
    await expect(plan.get_by_text("paused", exact=True)).to_be_visible()
    await plan.get_by_role("button", name=f"Steps of {name}").press("Enter")
    await expect(plan.get_by_role("cell", name="a look at it")).to_be_visible()
    # However much stands below, the board keeps its height.
    assert await page.get_by_role("group", name="Migration").evaluate("board => board.clientHeight") >= 160
    await visitor.look("plans-paused")
    await do("Resume", "it is well")
    await do("Approve the wave", "seen")
    await expect(plan.get_by_text("done", exact=True)).to_be_visible()
    await expect(plan.get_by_role("button", name="Abort")).to_be_hidden()
    await visitor.look("plans-done")
