"""Tenants: the list, and one of them with its tier, quotas, pauses and secrets."""

from __future__ import annotations

from typing import Any

from playwright.async_api import expect

from contracts.people import Household
from contracts.world import World
from visitor import Visitor


async def test_a_tenant_is_found_changed_limited_and_paused(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(world.admin.key, "tenants")
    await expect(page.get_by_role("table", name="Tenants")).to_be_visible()
    await visitor.look("tenants")
    await page.keyboard.press("/")
    await page.keyboard.type(home.tenant_id)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name=home.tenant_id)).to_be_visible()
    await expect(page.get_by_text("No quota is set")).to_be_visible()

    await visitor.tab_to("Change tier or weight")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Tier")).to_be_focused()
    await expect(dialog.get_by_role("button", name="Change tier or weight")).to_be_disabled()
    await dialog.get_by_label("Tier").select_option("vip")
    await dialog.get_by_label("Weight").fill("0")
    await expect(dialog.get_by_text("Enter a number from 0.001 to 1,000.")).to_be_visible()
    await visitor.look("tenant-change")
    await dialog.get_by_label("Weight").fill("2.5")
    await dialog.get_by_label("Why").fill("they pay more")
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_text("VIP", exact=True)).to_be_visible()
    await expect(page.get_by_text("2.5", exact=True)).to_be_visible()

    await page.get_by_role("button", name="Set a quota").press("Enter")
    await expect(dialog.get_by_label("Project")).to_be_focused()
    await dialog.get_by_label("Running").fill("many")
    await expect(dialog.get_by_text("Enter a whole number, or leave the field empty.")).to_be_visible()
    await dialog.get_by_label("Running").fill("1")
    await dialog.get_by_label("Queued").fill("100")
    await dialog.get_by_label("Why").fill("a <b>start</b>")
    await visitor.look("tenant-quota")
    await page.keyboard.press("Enter")
    quotas = page.get_by_role("table", name="Quotas")
    await expect(quotas.get_by_text("a <b>start</b>")).to_be_visible()
    await expect(quotas.get_by_text("0 of 1", exact=True)).to_be_visible()

    await page.get_by_role("button", name="Pause tasks").press("Enter")
    await dialog.get_by_label("Task type").fill("contract_probe")
    await dialog.get_by_label("Why").fill("the graph is moved")
    await page.keyboard.press("Enter")
    pauses = page.get_by_role("table", name="Pauses")
    await expect(pauses.get_by_text("the graph is moved")).to_be_visible()
    # What waits by it is seen without a reload.
    task_id = await world.submit(home)
    await expect(page.get_by_role("link", name="1 waiting")).to_be_visible()
    await expect(page.get_by_text("1 held: paused")).to_be_visible()
    await visitor.look("tenant")
    await page.get_by_role("button", name="Resume: all tasks, contract_probe").press("Enter")
    await visitor.look("tenant-resume")
    await dialog.get_by_role("button", name="Resume").press("Enter")
    await expect(page.get_by_text("Nothing is paused.")).to_be_visible()
    await world.ended(task_id)
    await expect(page.get_by_text("No unfinished tasks.", exact=True)).to_be_visible()

    await page.get_by_role("button", name="Remove: whole tenant").press("Enter")
    await dialog.get_by_role("button", name="Remove").press("Enter")
    await expect(page.get_by_text("No quota is set")).to_be_visible()


async def test_what_is_refused_is_told_in_the_dialog(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(world.admin.key, f"tenants/{home.tenant_id}")
    await page.get_by_role("button", name="Set a quota").press("Enter")
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Project").fill("nobody's")
    await dialog.get_by_label("Running").fill("1")
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_role("alert")).to_be_visible()
    await expect(dialog.get_by_label("Running")).to_have_value("1")
    visitor.faults.clear()  # the browser writes down that the answer was no success


async def test_an_owner_sees_and_makes_secrets_only(visit: Any, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "tenants")
    await page.get_by_role("link", name=home.tenant_id).press("Enter")
    await expect(page.get_by_text("No quota is set")).to_be_visible()
    for name in ("Change tier or weight", "Set a quota", "Pause tasks"):
        await expect(page.get_by_role("button", name=name)).to_be_hidden()
    await page.get_by_role("button", name="New secret").press("Enter")
    await page.get_by_role("dialog").get_by_role("button", name="New secret").press("Enter")
    once = page.get_by_role("status").filter(has_text="The new secret")
    await expect(once.get_by_text("whsec_")).to_be_visible()
    await visitor.look("tenant-secret")
    await once.get_by_role("button", name="I have kept it").press("Enter")
    await expect(page.get_by_text("whsec_")).to_be_hidden()
    await expect(page.get_by_role("cell", name="current")).to_be_visible()


async def test_the_same_in_chinese(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit(locale="zh-CN")
    page = visitor.page
    await visitor.open(f"tenants/{home.tenant_id}")
    await page.get_by_label("API 密钥").press_sequentially(world.admin.key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="配额")).to_be_visible()
    await visitor.look("tenant-zh")
