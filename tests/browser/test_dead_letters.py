"""Dead letters: grouped by what went wrong, searched, opened, run again over time, and deleted."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from playwright.async_api import Locator, Page, expect
from redis.asyncio import Redis

from backends.redis_queue import wire
from backends.redis_queue.dead import entry
from contracts.people import Household
from contracts.world import World
from visitor import Visitor
from workers.testing.waiting import eventually

#: The request to abort waits for the end of the chunk.
_ABORT_WAITS = (
    "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%taskgate operation%'"
)


async def die(world: World, home: Household, says: str) -> str:
    task_id = await world.submit(home, f"fatal {says}")
    await world.ended(task_id)
    return task_id


def group(page: Page) -> Locator:
    return page.get_by_role("table", name="Dead letters", exact=True).get_by_role("row").filter(has_text="Fatal")


async def test_a_group_is_opened_and_run_again_over_time(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "dead-letters")
    await expect(page.get_by_role("heading", name="No dead letters")).to_be_visible()
    await visitor.look("dead-letters-none")

    first = await die(world, home, "<b>no</b> such page \u202eevil")
    second = await die(world, home, "no room")
    await expect(group(page)).to_contain_text("no room")
    await expect(group(page).get_by_role("cell").nth(2)).to_have_text("2")
    await visitor.look("dead-letters")

    await page.keyboard.press("/")
    await expect(page.get_by_label("Find in errors")).to_be_focused()
    await page.keyboard.type("SUCH PAGE")
    await page.keyboard.press("Enter")
    await expect(group(page).get_by_role("cell").nth(2)).to_have_text("1")
    await expect(group(page)).to_contain_text("<b>no</b> such page \\u{202e}evil")
    await group(page).get_by_role("link").press("Enter")
    letters = page.get_by_role("table", name="Dead letters: ")
    await expect(page.get_by_role("heading", name="Dead letters: ")).to_be_focused()
    await expect(letters.get_by_text(first[-8:])).to_be_visible()
    await expect(letters.get_by_text(second[-8:])).to_be_hidden()
    await page.keyboard.press("Escape")
    await expect(letters).to_be_hidden()
    await expect(group(page).get_by_role("link")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(letters.get_by_text(first[-8:])).to_be_visible()
    await page.get_by_label("Find in errors").fill("")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Find in errors")).to_be_focused()
    await expect(letters.get_by_text(second[-8:])).to_be_visible()

    await page.get_by_label(f"Select …{first[-8:]}").press("Space")
    await visitor.look("dead-letters-opened")
    await page.get_by_role("button", name="Redrive 1 selected").press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Spread over (minutes)")).to_be_focused()
    await page.keyboard.press("Control+a")
    await page.keyboard.type("week")
    await expect(dialog.get_by_text("Enter a number from 0 to 10,080.")).to_be_visible()
    await visitor.look("dead-letters-redrive")
    await page.keyboard.press("Control+a")
    await page.keyboard.type("0")
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    redrive = page.get_by_role("region", name="Redrive")
    await expect(redrive.get_by_text("1 of 1 redriven")).to_be_visible()
    # It dies again, and is there again.
    await world.ended(first)
    await expect(letters.get_by_text(first[-8:])).to_be_visible()

    await page.get_by_role("button", name="Redrive all 2").press("Enter")
    await expect(dialog.get_by_label("Spread over (minutes)")).to_have_value("10")
    await dialog.get_by_label("Why").press_sequentially("the disk is larger")
    await page.keyboard.press("Enter")
    await expect(redrive.get_by_text("2 of 2 redriven")).to_be_visible()
    await visitor.look("dead-letters-redriven")
    # One at once, the other one five minutes later.
    tasks = [(await world.client(home.owner).get(f"/gateway/v1/tasks/{one}")).json() for one in (first, second)]
    earlier, later = sorted(datetime.fromisoformat(task["not_before"]) for task in tasks)
    assert later - earlier > timedelta(minutes=4)


async def test_what_is_purged_is_gone_and_its_task_stays(visit: Any, world: World, home: Household) -> None:
    dead = await die(world, home, "once")
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "dead-letters")
    await group(page).get_by_role("link").press("Enter")
    await page.get_by_role("button", name="Purge all 1").press("Enter")
    ask = page.get_by_role("alertdialog")
    await expect(ask.get_by_role("button", name="Cancel")).to_be_focused()
    await visitor.look("dead-letters-purge")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Deleted: 1")).to_be_visible()
    await expect(group(page)).to_be_hidden()
    answer = await world.client(home.owner).get("/gateway/v1/dead-letters")
    assert answer.json()["dead_letters"] == []
    assert (await world.row(dead))["status"] == "FAILED"


async def test_a_member_is_offered_no_purge(visit: Any, world: World, home: Household) -> None:
    await die(world, home, "seen")
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.member.key, "dead-letters")
    await group(page).get_by_role("link").press("Enter")
    await expect(page.get_by_role("button", name="Redrive all 1")).to_be_visible()
    await expect(page.get_by_role("button", name="Purge all 1")).to_be_hidden()


async def test_a_redrive_is_aborted(visit: Any, world: World, home: Household) -> None:
    """More letters than one chunk of an operation: the first chunk is held up by a row that the test has locked."""
    body = {"tasks": [{"type": "contract_probe", "payload": {"do": "fatal no"}, "project_id": home.project_id}] * 60}
    answer = await world.client(home.owner).post("/gateway/v1/tasks/batch", json=body)
    assert answer.is_success, answer.text
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "dead-letters")
    await expect(group(page).get_by_role("cell").nth(2)).to_have_text("60")
    await group(page).get_by_role("link").press("Enter")
    async with world.database.transaction() as db:
        await db.execute("SELECT 1 FROM taskgate.dispatch WHERE tenant_id = $1 FOR UPDATE", home.tenant_id)
        await page.get_by_role("button", name="Redrive all 60").press("Enter")
        await page.keyboard.press("Enter")
        redrive = page.get_by_role("region", name="Redrive in progress")
        await expect(redrive.get_by_text("0 of 60 redriven")).to_be_visible()
        await redrive.get_by_role("button", name="Abort").press("Enter")
        ask = page.get_by_role("alertdialog")
        await expect(ask.get_by_role("button", name="Let it go on")).to_be_focused()
        await visitor.look("dead-letters-abort")
        await page.keyboard.press("Tab")
        async with page.expect_request(lambda request: request.url.endswith("/abort")):
            await page.keyboard.press("Enter")
        await eventually(lambda: world.database.fetchval(_ABORT_WAITS), bool, within=20)
    over = page.get_by_role("region", name="Redrive")
    await expect(over.get_by_text("aborted")).to_be_visible()
    await expect(over.get_by_text("50 of 60 redriven")).to_be_visible()
    await visitor.look("dead-letters-aborted")


async def test_a_payload_that_is_no_task(visit: Any, world: World, home: Household) -> None:
    assert world.servers.redis_url is not None
    async with Redis.from_url(world.servers.redis_url) as redis:
        payload = b"<b>no</b> task"
        await redis.rpush(wire.DEAD, entry("not JSON", home.project_id.encode(), payload, len(payload)))
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "dead-letters")
    row = page.get_by_role("row").filter(has_text="not a valid task")
    await expect(row).to_contain_text("not JSON")
    await row.get_by_role("link").press("Enter")
    letters = page.get_by_role("table", name="Dead letters: ")
    await expect(letters.get_by_role("cell", name="not JSON")).to_be_visible()
    assert len(await letters.get_by_role("row").nth(1).get_by_role("code").inner_text()) == len("payload:…1d93f3a2")
    await visitor.look("dead-letters-payload")


async def test_the_same_in_chinese(visit: Any, world: World, home: Household) -> None:
    await die(world, home, "坏了")
    visitor: Visitor = await visit(locale="zh-CN")
    page = visitor.page
    await visitor.open("dead-letters")
    await page.get_by_label("API 密钥").press_sequentially(home.owner.key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="死信", exact=True)).to_be_visible()
    await expect(page.get_by_role("row").filter(has_text="坏了")).to_be_visible()
    await visitor.look("dead-letters-zh")
