"""The fleet: how full it is, what one of it runs, and one that is drained."""

from __future__ import annotations

import asyncio
from typing import Any

from playwright.async_api import expect

from contracts.people import Household
from contracts.world import World
from visitor import Visitor
from workers.process import Worker


async def test_the_fleet_and_one_that_is_drained(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(world.admin.key, "workers")
    squares = page.get_by_role("region", name="Slots in use").get_by_role("img")
    await expect(squares).to_have_count(len(world.backends))
    leaver = Worker(world.settings(lease_seconds=2.5), "redis", 7)
    running = asyncio.create_task(leaver.run())
    row = page.get_by_role("row").filter(has_text="of 7")
    await expect(row.get_by_text("alive")).to_be_visible()
    await expect(squares).to_have_count(len(world.backends) + 1)

    async with world.held(home) as (task_id, _):
        taken = page.get_by_role("row").filter(has_text="1 of ")
        link = taken.get_by_role("link", name="Open ")
        await link.press("Enter")
        opened = page.get_by_role("region", name="Worker ")
        await expect(opened.get_by_role("heading", name="Worker ")).to_be_focused()
        await expect(opened.get_by_text(task_id[-8:])).to_be_visible()
        await visitor.look("workers")
        await page.keyboard.press("Escape")
        await expect(opened).to_be_hidden()
        await expect(link).to_be_focused()

    name = (await row.get_by_role("rowheader").inner_text()).strip()
    await row.get_by_role("button", name=f"Drain: {name}").press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Why")).to_be_focused()
    await expect(dialog.get_by_role("button", name="Drain")).to_be_disabled()
    await page.keyboard.type("its host goes")
    await visitor.look("workers-drain")
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    async with asyncio.timeout(60):
        await running
    await expect(row).to_be_hidden()
    await page.get_by_role("button", name="Show those that are gone").press("Enter")
    await expect(row.get_by_text("ended")).to_be_visible()
    await expect(row.get_by_text(f"by {world.admin.user_id}: its host goes")).to_be_visible()
    await visitor.look("workers-gone")


async def test_the_same_in_chinese(visit: Any, world: World) -> None:
    visitor: Visitor = await visit(locale="zh-CN")
    page = visitor.page
    await visitor.open("workers")
    await page.get_by_label("API 密钥").press_sequentially(world.admin.key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="槽位使用情况")).to_be_visible()
    await visitor.look("workers-zh")
