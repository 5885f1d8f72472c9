"""Tasks: the list and one of them, live, on both backends."""

from __future__ import annotations

import json
import logging
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

from playwright.async_api import Browser, Locator, Page, expect

from contracts.people import Household
from contracts.world import SLOTS, World
from gateway.routing.stages import Stage
from visitor import Visitor, visiting
from workers.testing.waiting import eventually

log = logging.getLogger(__name__)

#: The request to abort waits for the end of the chunk.
_ABORT_WAITS = (
    "SELECT count(*) > 0 FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND wait_event = 'advisory' AND query LIKE '%taskgate operation%'"
)


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


async def later(world: World, home: Household, count: int) -> list[str]:
    """Tasks that wait for their time."""
    return [await world.submit(home, delay_seconds=3600, labels={"team": "blue"}) for _ in range(count)]


async def test_something_is_done_to_all_that_match(visit: Any, world: World, home: Household) -> None:
    waiting = await later(world, home, 5)
    done = await world.submit(home)
    await world.ended(done)
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "tasks")
    act = page.get_by_role("button", name="Act on all that match")
    await expect(row_of(page, done)).to_be_visible()
    await expect(act).to_be_hidden()  # nothing is asked for: that would be every task
    await page.keyboard.press("/")
    await page.keyboard.type(f"label:team:blue project:{home.project_id}")
    await page.keyboard.press("Enter")
    await expect(row_of(page, done)).to_be_hidden()
    await act.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_text("5 tasks")).to_be_visible()
    await dialog.get_by_label("What is to be done").select_option("retry")
    await expect(dialog.get_by_text("No task that matches")).to_be_visible()
    await expect(dialog.get_by_role("button", name="Begin")).to_be_disabled()
    await dialog.get_by_label("What is to be done").select_option("reprioritise")
    await dialog.get_by_label("Priority").select_option("2")
    await expect(dialog.get_by_text("5 tasks")).to_be_visible()
    await visitor.look("tasks-bulk")
    await dialog.get_by_label("What is to be done").select_option("cancel")
    await dialog.get_by_label("Why").fill("a mistake")
    await expect(dialog.get_by_text("5 tasks")).to_be_visible()
    await page.keyboard.press("Enter")
    progress = page.get_by_role("region", name="Bulk action")
    await expect(progress.get_by_text("5 of 5 done")).to_be_visible()
    await expect(row_of(page, waiting[0])).to_contain_text("stopped")
    await visitor.look("tasks-bulk-done")
    assert "operation=" in page.url


async def test_a_bulk_action_is_aborted(visit: Any, world: World, home: Household) -> None:
    """Of two chunks: the first one is held up by rows that the test has locked."""
    task = {"type": "contract_probe", "payload": {"do": ""}, "project_id": home.project_id, "delay_seconds": 3600}
    answer = await world.client(home.owner).post("/gateway/v1/tasks/batch", json={"tasks": [task] * 60})
    assert answer.is_success, answer.text
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, f"tasks?q=project:{home.project_id}")
    async with world.database.transaction() as db:
        await db.execute("SELECT 1 FROM taskgate.dispatch WHERE tenant_id = $1 FOR UPDATE", home.tenant_id)
        await page.get_by_role("button", name="Act on all that match").press("Enter")
        await expect(page.get_by_role("dialog").get_by_text("60 tasks")).to_be_visible()
        await page.get_by_role("button", name="Begin").press("Enter")
        progress = page.get_by_role("region", name="Bulk action under way")
        await expect(progress.get_by_text("0 of 60 done")).to_be_visible()
        await progress.get_by_role("button", name="Abort").press("Enter")
        await page.keyboard.press("Tab")
        async with page.expect_request(lambda request: request.url.endswith("/abort")):
            await page.keyboard.press("Enter")
        await eventually(lambda: world.database.fetchval(_ABORT_WAITS), bool, within=20)
    over = page.get_by_role("region", name="Bulk action")
    await expect(over.get_by_text("aborted")).to_be_visible()
    await expect(over.get_by_text("50 of 60 done")).to_be_visible()
    await visitor.look("tasks-bulk-aborted")
    await over.get_by_role("button", name="Close").press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()


async def test_a_task_that_waits_gets_another_time(visit: Any, world: World, home: Household) -> None:
    [task_id] = await later(world, home, 1)
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, f"tasks/{task_id}")
    await expect(page.locator(".part-line")).to_contain_text("Due")
    await page.get_by_role("button", name="Change its time").press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("button", name="Change its time")).to_be_disabled()
    await dialog.get_by_label("Start at").fill("2026-01-01T12:00")
    await visitor.look("task-retime")
    await dialog.get_by_role("button", name="Change its time").press("Enter")
    await expect(page.locator(".part-line")).to_contain_text("completed")


async def test_it_leads_to_its_trace_and_to_temporal(browser: Browser, world: World, home: Household) -> None:
    await world.flag.set(Stage.LIVE, home.tenant_id)
    task_id = await world.submit(home)
    await world.ended(task_id)
    context = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    await world.database.execute(
        "UPDATE taskgate.dispatch SET trace = $2 WHERE task_id = $1", task_id, json.dumps(context)
    )
    addresses = {
        "trace_url": "https://jaeger.example.com/trace/{trace_id}",
        "temporal_ui_url": "https://temporal.example.com",
    }
    async with world.another_gateway(**addresses) as url, visiting(browser, url, None) as visit:
        visitor: Visitor = await visit()
        await visitor.sign_in(home.owner.key, f"tasks/{task_id}")
        trace = visitor.page.get_by_role("link", name="Trace")
        await expect(trace).to_have_attribute(
            "href", addresses["trace_url"].format(trace_id=context["traceparent"][3:35])
        )
        temporal = visitor.page.get_by_role("link", name="In Temporal's UI")
        start = quote(f'ActivityId="task-{task_id}"', safe="")
        place = f"namespaces/{world.servers.temporal_namespace}/activities?query={start}"
        await expect(temporal).to_have_attribute("href", f"https://temporal.example.com/{place}")
        await visitor.look("task-links")


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
