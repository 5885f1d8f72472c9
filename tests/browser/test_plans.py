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
    await expect(plan.get_by_text("a draft of 1 wave; ")).to_be_visible()
    await expect(plan.get_by_text("Reason: the <b>move</b>")).to_be_visible()

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
    await expect(dialog.get_by_text("The plan ends and cannot be resumed.")).to_be_visible()
    await expect(dialog.get_by_role("button", name="Abort")).to_be_disabled()
    await page.keyboard.type("not this year")
    await visitor.look("plans-abort")
    await page.keyboard.press("Enter")
    await expect(plan.get_by_text("aborted", exact=True)).to_be_visible()
    await expect(plan.get_by_role("button", name="Abort", exact=True)).to_be_hidden()
    assert world.flag.stage(home.tenant_id) is Stage.LIVE, "those that were moved stay where they are"


async def act(world: World, name: str, what: str) -> None:
    answer = await world.client(world.admin).post(f"{PATH}/{name}/acts", json={"act": what, "why": "somebody else"})
    assert answer.is_success, answer.text


async def test_a_wave_in_the_middle_is_seen_as_it_goes(visit: Any, world: World, home: Household) -> None:
    """Begun and ended by somebody else, on a page that nobody touches."""
    name = f"waves-{home.name}"
    others = [await world.people.household("vip") for _ in range(4)]
    await put(
        world,
        name,
        "why: the move\nwaves:\n"
        f"  - {{name: pilot, tenants: [{home.tenant_id}], bake: '0'}}\n"
        "  - {name: half, tier: vip, percent: 50, bake: 1h, gates: {approval: true}}\n"
        "  - {name: rest, tier: vip, percent: 100, bake: '0'}\n",
    )
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(world.admin.key, "migration")
    plan = page.get_by_role("article", name=name)
    await expect(plan.get_by_text("draft", exact=True)).to_be_visible()
    await act(world, name, "start")
    try:
        await expect(plan.get_by_text("baking", exact=True)).to_be_visible()
        pilot, half, rest = (plan.get_by_role("row", name=wave) for wave in ("pilot", "half", "rest"))
        await expect(half).to_have_attribute("aria-current", "step")
        await expect(half).to_contain_text("current")
        await expect(pilot.get_by_role("progressbar")).to_have_attribute("value", "1")
        of_half = (await world.client(world.admin).get(f"{PATH}/{name}")).json()["waves"][1]
        await expect(half.get_by_role("progressbar", name="Moved of wave 2")).to_have_attribute(
            "value", str(of_half["moved"] + of_half["left"])
        )
        assert of_half["tenants"] >= 2
        await expect(half.get_by_role("progressbar", name="Bake of wave 2")).to_have_attribute("max", "3600")
        await expect(half).to_contain_text("approval")
        await expect(rest.get_by_role("progressbar")).to_have_attribute("value", "0")
        moved = [one for one in others if world.flag.stage(one.tenant_id) is Stage.LIVE]
        assert 0 < len(moved) < len(others)
        # What was moved runs there already, and the rest stays where it was.
        for one in others:
            task_id = await world.submit(one)
            await world.ended(task_id)
            assert (await world.dispatch(task_id))["backend"] == ("temporal" if one in moved else "redis")
        await plan.get_by_role("button", name=f"Steps of {name}").scroll_into_view_if_needed()
        await visitor.look("plans-wave-under-way")
        await act(world, name, "rollback")
        await expect(plan.get_by_text("aborted", exact=True)).to_be_visible()
        await expect(half).to_contain_text("taken back")
        assert world.flag.stage(home.tenant_id) is Stage.OFF
    finally:
        await world.client(world.admin).post(f"{PATH}/{name}/acts", json={"act": "abort", "why": "the test is over"})


async def test_a_wave_of_a_share_of_the_tasks(visit: Any, world: World, home: Household) -> None:
    """It moves tasks of everybody, until it is rolled back on the page."""
    name = f"share-{home.name}"
    await put(world, name, "why: the move\nbake: '1h'\nwaves: [{tasks_percent: 12.5}, {percent: 100}]\n")
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(world.admin.key, "migration")
    plan = page.get_by_role("article", name=name)
    share = plan.get_by_role("row").filter(has=page.get_by_role("cell", name="12.5 % of tasks"))
    await expect(share).to_be_visible()

    async def default() -> str:
        answer = await world.client(world.admin).get("/gateway/v1/migration/stages")
        return str(answer.json()["default"])

    before = await default()
    await act(world, name, "start")
    try:
        await expect(plan.get_by_text("baking", exact=True)).to_be_visible()
        await expect(share).to_have_attribute("aria-current", "step")
        assert await default() != before
        await plan.get_by_role("button", name=f"Steps of {name}").scroll_into_view_if_needed()
        await visitor.look("plans-share-under-way")
        await plan.get_by_role("button", name="Roll back", exact=True).press("Enter")
        await page.keyboard.type("seen enough")
        await visitor.look("plans-rollback")
        await page.keyboard.press("Enter")
        await expect(plan.get_by_text("aborted", exact=True)).to_be_visible()
    finally:
        await world.client(world.admin).post(f"{PATH}/{name}/acts", json={"act": "rollback", "why": "the test is over"})
    assert await default() == before
