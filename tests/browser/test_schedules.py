"""Schedules: the list, and one of them with its coming times, its history, and what can be done."""

from __future__ import annotations

from typing import Any

from playwright.async_api import expect

from contracts.people import Household
from contracts.world import World
from visitor import Visitor


async def create(world: World, home: Household, name: str, **more: Any) -> str:
    definition = {
        "name": name,
        "specs": [{"cron": "0 3,15 * * *"}],
        "timezone": "Europe/Oslo",
        "overlap": "allow_all",
        "action": {"type": "contract_probe", "payload": {"do": ""}, "project_id": home.project_id},
        **more,
    }
    answer = await world.client(home.owner).post("/gateway/v1/schedules", json=definition)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["schedule_id"])


async def test_a_schedule_is_found_run_and_paused(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "schedules")
    await expect(page.get_by_role("heading", name="There is no schedule")).to_be_visible()
    await visitor.look("schedules-none")
    schedule_id = await create(world, home, "Twice a day")
    await page.reload()
    row = page.get_by_role("row").filter(has_text="Twice a day")
    await expect(row).to_contain_text("0 3,15 * * * Europe/Oslo")
    await visitor.look("schedules")
    await row.get_by_role("link").press("Enter")

    await expect(page.get_by_role("heading", name="Twice a day")).to_be_visible()
    calendar = page.get_by_role("region", name="Coming times")
    await expect(calendar.get_by_text("03:00:00").first).to_be_visible()
    await expect(calendar.get_by_text("15:00:00").first).to_be_visible()
    history = page.get_by_role("region", name="What became of its times")
    await expect(history.get_by_text("It has not fired yet.")).to_be_visible()
    await visitor.tab_to("Run now")
    await page.keyboard.press("Enter")
    fired = history.get_by_role("row").filter(has_text="hand")
    await expect(fired).to_contain_text("fired")
    await expect(fired).to_contain_text("completed")

    # Somebody else runs it: it is seen all the same.
    answer = await world.client(home.owner).post(f"/gateway/v1/schedules/{schedule_id}/run")
    assert answer.status_code == 202
    await expect(history.get_by_text("completed")).to_have_count(2)

    await visitor.tab_to("Pause")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog").get_by_label("Why")).to_be_focused()
    await page.keyboard.type("the graph is rebuilt")
    await visitor.look("schedule-pause")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("the graph is rebuilt")).to_be_visible()
    await expect(page.get_by_text("these are the times at which it would fire")).to_be_visible()
    await visitor.look("schedule-paused")
    await page.get_by_role("button", name="Resume").press("Enter")
    await expect(page.get_by_role("button", name="Pause")).to_be_visible()


async def test_a_range_is_backfilled_in_the_schedule_s_zone(visit: Any, world: World, home: Household) -> None:
    schedule_id = await create(world, home, "Twice a day")
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, f"schedules/{schedule_id}")
    await page.get_by_role("button", name="Backfill").press("Enter")
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Backfill").press("Enter")
    await expect(dialog.get_by_text("Give a day and a time.").first).to_be_visible()
    await visitor.look("schedule-backfill")
    await dialog.get_by_label("From").fill("2026-07-01T02:59")
    await dialog.get_by_label("To").fill("2026-07-02T03:00")
    await dialog.get_by_role("button", name="Backfill").press("Enter")
    await expect(dialog.get_by_text("3 times are in the range; 3 of them are fired now.")).to_be_visible()
    await page.keyboard.press("Escape")
    history = page.get_by_role("region", name="What became of its times")
    await expect(history.get_by_role("row").filter(has_text="backfill").filter(has_text="completed")).to_have_count(3)


async def test_the_same_in_chinese(visit: Any, world: World, home: Household) -> None:
    schedule_id = await create(world, home, "每天两次")
    visitor: Visitor = await visit(locale="zh-CN")
    page = visitor.page
    await visitor.open(f"schedules/{schedule_id}")
    await page.get_by_label("API 密钥").press_sequentially(home.owner.key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="每天两次")).to_be_visible()
    await visitor.look("schedule-zh")
