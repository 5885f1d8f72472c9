"""Tasks: the list and one of them, live, on both backends."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import Any

from playwright.async_api import Locator, Page, expect

from contracts.people import Household
from contracts.world import SLOTS, World
from gateway.routing.stages import Stage
from visitor import Visitor

log = logging.getLogger(__name__)


def row_of(page: Page, task_id: str) -> Locator:
    return page.get_by_role("row").filter(has=page.locator(f"[title='{task_id}']"))


async def test_rows_change_while_one_looks(visit: Any, world: World, home: Household) -> None:
    await world.flag.set(Stage.LIVE, home.tenant_id)
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "tasks")
    await expect(page.get_by_role("heading", name="No task matches")).to_be_visible()
    await visitor.look("tasks-none")
    async with world.held(home) as (task_id, _):
        await expect(row_of(page, task_id)).to_contain_text("running")
        await expect(row_of(page, task_id)).to_contain_text("temporal")
        await world.flag.set(Stage.OFF, home.tenant_id)
        other = await world.submit(home)
        await expect(row_of(page, other)).to_contain_text("redis")
        await expect(row_of(page, other)).to_contain_text("completed")
        failed = await world.submit(home, "fatal <b>no</b> such page", labels={"team": "blue"})
        await expect(row_of(page, failed)).to_contain_text("failed")
        await visitor.look("tasks")
    await expect(row_of(page, task_id)).to_contain_text("completed")


async def test_after_a_cut_nothing_is_missing(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "tasks")
    first = await world.submit(home)
    await expect(row_of(page, first)).to_contain_text("completed")
    async with page.expect_request(lambda request: "/tasks/stream" in request.url):
        for subscription in list(world.gateway.any_task_watch._open):
            subscription.close()
        meanwhile = await world.submit(home)
        await world.ended(meanwhile)
    await expect(row_of(page, meanwhile)).to_contain_text("completed")
    later = await world.submit(home)
    await expect(row_of(page, later)).to_contain_text("completed")


async def test_what_waits_for_a_worker_is_seen_to_wait(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    await visitor.sign_in(home.owner.key, "tasks")
    async with AsyncExitStack() as stack:
        for _ in range(SLOTS):
            await stack.enter_async_context(world.held(await world.people.household()))
        task_id = await world.submit(home)
        await expect(row_of(visitor.page, task_id)).to_contain_text("queued")
    await expect(row_of(visitor.page, task_id)).to_contain_text("completed")


async def test_a_filter_stands_in_the_address(visit: Any, world: World, home: Household) -> None:
    done, failed = await world.submit(home), await world.submit(home, "fatal no")
    await world.ended(done)
    await world.ended(failed)
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "tasks")
    await expect(row_of(page, done)).to_be_visible()
    await page.keyboard.press("/")
    await page.keyboard.type("state:failed")
    await page.keyboard.press("Enter")
    await expect(row_of(page, done)).to_be_hidden()
    await expect(row_of(page, failed)).to_be_visible()
    assert "state" in page.url
    await page.reload()
    await expect(row_of(page, failed)).to_be_visible()
    await expect(row_of(page, done)).to_be_hidden()
    again = await world.submit(home, "fatal again")
    await expect(row_of(page, again)).to_be_visible()
    await page.keyboard.press("/")
    await page.keyboard.press("Control+a")
    await page.keyboard.type("colour:red")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("There is no filter")).to_be_visible()


async def test_one_task_by_keyboard(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "tasks")
    async with world.held(home) as (task_id, _):
        await expect(row_of(page, task_id)).to_contain_text("running")
        await page.get_by_role("table").focus()
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="contract_probe")).to_be_visible()
        await expect(page.get_by_text("10 %, held")).to_be_visible()
        await expect(page.get_by_role("cell", name="Attempt 1, running")).to_be_visible()
        await expect(page.get_by_text("Start 1: redis, off")).to_be_visible()
        await visitor.look("task-running")
        await visitor.tab_to("Load the payload")
        await page.keyboard.press("Enter")
        await expect(page.locator(".part-text[aria-label=Payload]")).to_contain_text('"do": "hold')
        await page.get_by_role("button", name="Stop").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alertdialog")).to_be_visible()
        await visitor.look("task-stop")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator(".part-line")).to_contain_text("stopped")
    await expect(page.get_by_role("cell", name="Attempt 1, stopped")).to_be_visible()
    await page.get_by_role("button", name="Retry").press("Enter")
    await expect(page.locator(".part-line")).to_contain_text("completed")
    await expect(page.get_by_role("cell", name="Attempt 2, completed")).to_be_visible()


async def test_a_failure_shows_error_and_stack_and_is_redriven(visit: Any, world: World, home: Household) -> None:
    task_id = await world.submit(home, "fatal <img src=x onerror=alert(1)> \u202eevil")
    await world.ended(task_id)
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(world.admin.key, f"tasks/{task_id}")
    await expect(page.locator("#task-error + .part-error")).to_contain_text("<img src=x onerror=alert(1)>")
    await expect(page.locator("#task-error + .part-error")).to_contain_text("\\u{202e}evil")
    await expect(page.get_by_label("Stack of the last error")).to_contain_text("play")
    await visitor.look("task-failed")
    await page.get_by_role("button", name="Redrive").press("Enter")
    await expect(page.get_by_role("cell", name="Attempt 2, failed")).to_be_visible()


async def test_who_only_reads_is_offered_nothing_more(visit: Any, world: World, home: Household) -> None:
    async with world.held(home) as (task_id, _):
        asked = {"name": "reads", "scope": "read", "tenant_id": home.tenant_id}
        made = await world.client(home.owner).post("/gateway/v1/keys", json=asked)
        visitor: Visitor = await visit()
        await visitor.sign_in(made.json()["key"], f"tasks/{task_id}")
        await expect(visitor.page.locator(".part-line")).to_contain_text("running")
        assert await visitor.page.get_by_role("button", name="Stop").count() == 0


async def test_from_commit_to_pixel(visit: Any, world: World, home: Household) -> None:
    """40 tasks that are accepted one after the other, from the row's own time to the frame that shows it.

    Each comes by the stream that is open already. The quickest quarter tells of us, the rest of the machine.
    """
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "tasks")
    await expect(page.get_by_role("heading", name="No task matches")).to_be_visible()
    await page.evaluate(_NOTE_FRAMES)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    created: dict[str, float] = {}
    for _ in range(40):
        task_id = await world.submit(home)
        created[task_id] = (await world.dispatch(task_id))["created_at"].timestamp() * 1000
        await world.ended(task_id)
    await expect(page.get_by_text("40 tasks loaded")).to_be_visible()
    seen: dict[str, float] = await page.evaluate("window.seen")
    took = sorted(seen[task_id] - at for task_id, at in created.items())
    p95 = took[int(len(took) * 0.95) - 1]
    log.info("median %.0f ms, P95 %.0f ms, longest %.0f ms", took[20], p95, took[-1])
    assert [url for url in asked if "/tasks" in url] == []
    assert took[len(took) // 4] <= 300


#: When a frame has shown a task for the first time, by its id.
_NOTE_FRAMES = """
window.seen = {};
new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => {
  for (const cell of document.querySelectorAll("[role=cell][title]")) window.seen[cell.title] ??= Date.now();
}))).observe(document.body, {childList: true, subtree: true});
"""
