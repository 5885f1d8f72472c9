"""The audit: searched, verified, exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.async_api import expect

from contracts.people import Household
from contracts.world import World
from visitor import Visitor


async def set_quota(world: World, home: Household, queued: int, why: str) -> None:
    answer = await world.client(world.admin).put(
        f"/gateway/v1/tenants/{home.tenant_id}/quotas", json={"queued": queued, "why": why}
    )
    assert answer.status_code == 200, answer.text


async def test_a_change_is_found_verified_and_exported(
    visit: Any, world: World, home: Household, tmp_path: Path
) -> None:
    await set_quota(world, home, 5, "a start")
    await set_quota(world, home, 6, "<b>more</b> \u202eevil")
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(world.admin.key, "audit")
    await page.keyboard.press("/")
    await expect(page.get_by_label("Action")).to_be_focused()
    await page.keyboard.type("quota.")
    await page.get_by_label("About").fill(f"tenant:{home.tenant_id}")
    await page.keyboard.press("Enter")
    rows = page.get_by_role("table", name="Audit").get_by_role("row")
    await expect(rows).to_have_count(3)
    newest = rows.nth(1)
    await expect(newest).to_contain_text("<b>more</b> \\u{202e}evil")
    await expect(newest).to_contain_text("queued5 → 6")
    await newest.locator("summary").press("Enter")
    await expect(newest.get_by_text("127.0.0.1")).to_be_visible()

    await page.get_by_role("button", name="Verify the chain").press("Enter")
    await expect(page.get_by_text("The chain holds")).to_be_visible()
    await visitor.look("audit")

    async with page.expect_download() as download:
        await page.get_by_role("button", name="Export what is shown").press("Enter")
    file = tmp_path / "audit.ndjson"
    await (await download.value).save_as(file)
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [event["subject"] for event in events] == [f"tenant:{home.tenant_id}"] * 2
    await expect(page.get_by_text("2 events are in the file.")).to_be_visible()

    # What somebody else changes is there without a reload.
    await set_quota(world, home, 7, "once more")
    await expect(rows).to_have_count(4)
    await page.get_by_label("Before").fill("2020-01-01T00:00")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="There is no such entry")).to_be_visible()
    await visitor.look("audit-none")


async def test_it_is_for_administrators(visit: Any, home: Household) -> None:
    visitor: Visitor = await visit()
    await visitor.sign_in(home.owner.key, "audit")
    await expect(visitor.page.get_by_text("There is no page here")).to_be_visible()
    for name in ("Audit", "Workers"):
        assert await visitor.page.get_by_role("link", name=name).count() == 0


async def test_the_same_in_chinese(visit: Any, world: World, home: Household) -> None:
    await set_quota(world, home, 5, "起步")
    visitor: Visitor = await visit(locale="zh-CN")
    page = visitor.page
    await visitor.open("audit?action=quota.")
    await page.get_by_label("API 密钥").press_sequentially(world.admin.key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("row").filter(has_text="起步").first).to_be_visible()
    await visitor.look("audit-zh")
