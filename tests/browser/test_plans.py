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


async def put(world: World, name: str, text: str) -> None:
    headers = {"Content-Type": "application/yaml"}
    answer = await world.client(world.admin).put(f"{PATH}/{name}", content=f"name: {name}\n{text}", headers=headers)
    assert answer.status_code == 200, answer.text


async def test_a_plan_is_held_by_a_guardrail_and_aborted(visit: Any, world: World, home: Household) -> None:
    name = f"held-{home.name}"
    await put(world, name, f"why: the move\nbake: '1h'\nwaves: [{{name: pilot, tenants: [{home.tenant_id}]}}]\n")
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(world.admin.key, "migration")
    plan = page.get_by_role("article", name=name)
    await plan.get_by_role("button", name="Start", exact=True).press("Enter")
    await page.keyboard.type("it is spring")
    await page.keyboard.press("Enter")
    await expect(plan.get_by_text("baking", exact=True)).to_be_visible()
    await world.database.execute("INSERT INTO taskgate.guardrail_freeze (why) VALUES ('too many at once')")
    try:
        await expect(plan.get_by_text("held", exact=True)).to_be_visible()
        await plan.get_by_role("button", name=f"Steps of {name}").scroll_into_view_if_needed()
        await visitor.look("plans-held")
    finally:
        answer = await world.client(world.admin).post(
            "/gateway/v1/migration/guardrails/unfreeze", json={"why": "looked at"}
        )
        assert answer.is_success, answer.text
    await plan.get_by_role("button", name="Abort", exact=True).press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_text("The plan ends here and cannot be resumed.")).to_be_visible()
    await expect(dialog.get_by_role("button", name="Abort")).to_be_disabled()
    await page.keyboard.type("not this year")
    await visitor.look("plans-abort")
    await page.keyboard.press("Enter")
    await expect(plan.get_by_text("aborted", exact=True)).to_be_visible()
    await expect(plan.get_by_role("button", name="Abort", exact=True)).to_be_hidden()
    assert world.flag.stage(home.tenant_id) is Stage.LIVE, "those that were moved stay where they are"


async def test_a_wave_of_a_share_of_the_tasks(visit: Any, world: World, home: Household) -> None:
    """As a draft: once begun it moves everybody's tasks."""
    name = f"share-{home.name}"
    await put(world, name, "why: the move\nbake: '1h'\nwaves: [{tasks_percent: 12.5}, {percent: 100}]\n")
    visitor: Visitor = await visit()
    await visitor.sign_in(world.admin.key, "migration")
    plan = visitor.page.get_by_role("article", name=name)
    await expect(plan.get_by_role("cell", name="12.5 % of tasks")).to_be_visible()
    await plan.get_by_role("button", name=f"Steps of {name}").scroll_into_view_if_needed()
    await visitor.look("plans-share")
