"""The migration board: moved by keyboard and by mouse, with a reason, undone, live."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Locator, Page, expect

from contracts.people import Household
from contracts.world import World
from gateway.routing.stages import Stage
from visitor import Visitor


def card(page: Page, stage: str, tenant_id: str) -> Locator:
    column = page.get_by_role("region", name=stage)
    return column.get_by_role("listitem").filter(has_text=tenant_id)


async def test_a_tenant_is_moved_and_brought_back(visit: Any, world: World, home: Household) -> None:
    task_id = await world.submit(home)
    await world.ended(task_id)
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(world.admin.key, "migration")
    await expect(page.get_by_role("region", name="off").get_by_role("listitem").first).to_be_visible()
    await visitor.look("migration")

    await page.get_by_label("Find a tenant").fill(home.tenant_id)
    await expect(card(page, "off", home.tenant_id)).to_be_visible()
    await visitor.tab_to(f"Move {home.tenant_id}")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name=f"Move {home.tenant_id}")
    await expect(dialog.get_by_label("Why")).to_be_focused()
    await dialog.get_by_label("To stage").select_option("live")
    await expect(dialog.get_by_text("would have run on Temporal")).to_be_visible()
    await page.keyboard.press("Enter")
    await dialog.get_by_role("button", name="Move to live").press("Enter")
    await expect(dialog.get_by_text("Enter a reason.")).to_be_visible()
    await visitor.look("migration-move")
    await dialog.get_by_label("Why").press_sequentially("the first one")
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    await expect(card(page, "live", home.tenant_id)).to_be_visible()
    assert world.flag.stage(home.tenant_id) is Stage.LIVE
    await expect(page.get_by_role("cell", name="the first one")).to_be_visible()

    undo = page.get_by_role("button", name="Undo")
    await visitor.look("migration-moved")
    await undo.press("Enter")
    await expect(page.get_by_text(f"{home.tenant_id} is back at its previous stage.")).to_be_visible()
    await expect(card(page, "off", home.tenant_id)).to_be_visible()
    assert world.flag.stage(home.tenant_id) is Stage.OFF
    await expect(page.get_by_role("cell", name="Undone: the first one")).to_be_visible()


async def test_a_card_is_dragged(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(world.admin.key, "migration")
    await page.get_by_label("Find a tenant").fill(home.tenant_id)
    await card(page, "off", home.tenant_id).drag_to(page.get_by_role("region", name="shadow"))
    dialog = page.get_by_role("dialog", name=f"Move {home.tenant_id}")
    await dialog.get_by_label("Why").fill("by mouse")
    await dialog.get_by_role("button", name="Move to shadow").click()
    await expect(card(page, "shadow", home.tenant_id)).to_be_visible()


async def test_what_others_move_is_seen_at_once(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(world.admin.key, "migration")
    await page.get_by_label("Find a tenant").fill(home.tenant_id)
    await expect(card(page, "off", home.tenant_id)).to_be_visible()
    await world.flag.set(Stage.LIVE, home.tenant_id)
    await expect(card(page, "live", home.tenant_id)).to_be_visible()


async def test_a_tenant_s_owner_is_not_offered_it(visit: Any, home: Household) -> None:
    visitor: Visitor = await visit()
    await visitor.sign_in(home.owner.key, "migration")
    await expect(visitor.page.get_by_text("There is no page here")).to_be_visible()
    assert await visitor.page.get_by_role("link", name="Migration").count() == 0


async def test_how_a_tenant_fares(visit: Any, world: World, home: Household) -> None:
    await world.ended(await world.submit(home))
    await world.flag.set(Stage.LIVE, home.tenant_id)
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(world.admin.key, "migration")
    await page.get_by_label("Find a tenant").fill(home.tenant_id)
    await page.get_by_role("link", name=home.tenant_id).press("Enter")
    await expect(page.get_by_role("heading", name=home.tenant_id)).to_be_visible()
    await expect(page.get_by_text("armed: on Temporal and watched")).to_be_visible()
    await expect(page.get_by_role("heading", name="Drain of Redis drained")).to_be_visible()
    await world.ended(await world.submit(home))
    row = page.get_by_role("row").filter(has_text="contract_probe").filter(has_text="temporal")
    await expect(row).to_be_visible()
    await visitor.look("migration-tenant")
