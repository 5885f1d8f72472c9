"""The overview: the first page after sign-in; tasks flow through it live, and what needs attention leads to it."""

from __future__ import annotations

import re
from typing import Any

from playwright.async_api import Locator, Page, expect

from contracts.people import Household
from contracts.world import World
from gateway.routing.stages import Stage
from visitor import Visitor


def count(page: Page, stage: str, backend: str) -> Locator:
    return page.get_by_role("link", name=re.compile(rf"^[\d,]+, {stage}, {backend}$"))


async def test_tasks_flow_and_lead_to_their_list(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key)
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    await expect(page.get_by_role("heading", name="There is no task yet")).to_be_visible()
    await expect(page.get_by_text("Nothing needs attention.")).to_be_visible()
    await visitor.look("overview-none")

    on_redis = await world.submit(home)
    await world.ended(on_redis)
    await expect(count(page, "Completed", "redis")).to_have_text("1")
    await world.flag.set(Stage.LIVE, home.tenant_id)
    async with world.held(home) as (held, hold):
        await expect(count(page, "Running", "temporal")).to_have_text("1")
        fatal = await world.submit(home, "fatal it does not work")
        await world.ended(fatal)
        await expect(page.get_by_text("Dead letters grow: 1 in 10m on temporal")).to_be_visible()
        await expect(page.get_by_role("row", name="temporal").get_by_text("1 new")).to_be_visible()
        await visitor.look("overview")
        hold.release()
        await world.ended(held)
    await expect(count(page, "Completed", "temporal")).to_have_text("1")

    await visitor.tab_to("1, Failed, temporal")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Filter tasks")).to_have_value("state:failed backend:temporal")
    await expect(page.get_by_text(fatal[-8:])).to_be_visible()


async def test_an_administrator_sees_what_is_held_and_paused(visit: Any, world: World, home: Household) -> None:
    root = world.client(world.admin)
    pause = {"tenant_id": home.tenant_id, "why": "the graph is <b>rebuilt</b>"}
    answer = await root.post("/gateway/v1/pauses", json=pause)
    assert answer.status_code == 201, answer.text
    await world.submit(home)
    visitor: Visitor = await visit()
    page = visitor.page
    try:
        await visitor.sign_in(world.admin.key)
        item = page.get_by_role("listitem").filter(has_text=f"Paused: {home.tenant_id}")
        await expect(item.get_by_text("the graph is <b>rebuilt</b>")).to_be_visible()
        await visitor.look("overview-attention")
        await item.get_by_role("link").press("Enter")
        await expect(page.get_by_label("Filter tasks")).to_have_value(f"state:waiting tenant:{home.tenant_id}")
        await page.keyboard.press("Escape")
        await page.locator("h1").click()
        await page.keyboard.press("g")
        await page.keyboard.press("o")
        await expect(item).to_be_visible()
    finally:
        await root.delete(f"/gateway/v1/pauses/{answer.json()['pause_id']}")
    # No stream tells of pauses: the next look does.
    await expect(item).to_be_hidden()


async def test_the_same_in_chinese(visit: Any, world: World, home: Household) -> None:
    await world.ended(await world.submit(home))
    visitor: Visitor = await visit(locale="zh-CN")
    page = visitor.page
    await visitor.open("overview")
    await page.get_by_label("API 密钥").press_sequentially(home.owner.key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="概览")).to_be_visible()
    await expect(page.get_by_role("link", name="1, 已完成, redis")).to_be_visible()
    await visitor.look("overview-zh")
