"""What stands around every page: signing in and out, keys, palette, and how much is loaded first."""

from __future__ import annotations

import gzip
import logging
from typing import Any

import pytest
from playwright.async_api import expect

from contracts.people import Household
from contracts.world import World
from deploy.local.console import BUILT

log = logging.getLogger(__name__)

#: JavaScript that is loaded first (bytes of gzip).
MOST_FIRST = 260_000
#: The same, of what the editor's page loads besides.
MOST_FOR_EDITOR = 300_000


async def test_sign_in_look_around_and_out_by_keyboard(visit: Any, home: Household) -> None:
    visitor = await visit()
    page = visitor.page
    await visitor.open()
    await expect(page.get_by_label("API key")).to_be_focused()
    await visitor.look("sign-in")
    await visitor.sign_in(home.owner.key)
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    await visitor.look("keys")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+k")
    await page.keyboard.type("Theme: Dark")
    await page.keyboard.press("Escape")  # empties the field
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await visitor.tab_to(f"Signed in as {home.owner.user_id}")
    await page.keyboard.press("Enter")
    await page.get_by_role("menuitem", name="Sign out", exact=True).press("Enter")
    await expect(page.get_by_label("API key")).to_be_visible()


async def test_it_speaks_chinese(visit: Any, home: Household) -> None:
    visitor = await visit(locale="zh-CN")
    await visitor.open()
    await expect(visitor.page.get_by_role("heading", name="登录 taskgate")).to_be_visible()
    await visitor.look("sign-in-zh")


async def test_a_key_that_is_none_is_refused(visit: Any) -> None:
    visitor = await visit()
    await visitor.open()
    await visitor.page.get_by_label("API key").fill("ms_sk_" + "0" * 64)
    await visitor.page.keyboard.press("Enter")
    await expect(visitor.page.get_by_label("API key")).to_have_attribute("aria-invalid", "true")
    visitor.faults.clear()  # the browser writes down that the answer was 401


async def test_who_signs_in_again_over_a_dialog_sees_what_comes_then(visit: Any, world: World, home: Household) -> None:
    visitor = await visit()
    visitor.expected = ("401",)
    page = visitor.page
    await visitor.sign_in(home.owner.key, "tasks")
    first = await world.submit(home)
    await expect(page.locator(f"[title='{first}']")).to_be_visible()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    await page.context.clear_cookies()
    for subscription in list(world.gateway.any_task_watch._open):
        subscription.close()
    again = page.get_by_role("dialog", name="Sign in to taskgate")
    await expect(again.get_by_text("The session has ended")).to_be_visible()
    await visitor.look("sign-in-again")
    await expect(again.get_by_label("API key")).to_be_focused()
    await page.keyboard.type(home.owner.key)
    await page.keyboard.press("Enter")
    await expect(again).to_be_hidden()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    later = await world.submit(home)
    await expect(page.locator(f"[title='{later}']")).to_be_visible()


async def test_pages_of_one_browser_go_on_with_one_session(visit: Any, world: World, home: Household) -> None:
    task_id = await world.submit(home, delay_seconds=3600)
    visitor = await visit()
    visitor.expected = ("403",)
    page = visitor.page
    await visitor.sign_in(home.owner.key, f"tasks/{task_id}")
    await expect(page.get_by_role("button", name="Stop")).to_be_visible()
    await page.context.clear_cookies()
    # A page would tell this one, which would not be refused then.
    headers = {"Authorization": f"Bearer {home.owner.key}"}
    assert (await page.context.request.post(f"{world.url}/gateway/v1/session", headers=headers)).status == 201

    await page.get_by_role("button", name="Stop").press("Enter")
    await page.keyboard.press("Tab")
    async with page.expect_response(lambda response: response.status == 403):
        await page.keyboard.press("Enter")
    await expect(page.locator(".part-line")).to_contain_text("stopped")


async def test_somebody_else_s_page_begins_anew(visit: Any, world: World, home: Household) -> None:
    stranger = await world.people.household()
    visitor = await visit()
    visitor.expected = ("401",)
    page = visitor.page
    await visitor.sign_in(home.owner.key, "tasks")
    first = await world.submit(home)
    await expect(page.locator(f"[title='{first}']")).to_be_visible()
    await page.context.clear_cookies()
    for subscription in list(world.gateway.any_task_watch._open):
        subscription.close()
    await expect(page.get_by_text("The session has ended")).to_be_visible()
    async with page.expect_event("load"):
        await page.get_by_label("API key").fill(stranger.owner.key)
        await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name=f"Signed in as {stranger.owner.user_id}")).to_be_visible()
    await expect(page.get_by_role("heading", name="No task matches")).to_be_visible()


async def test_who_signs_in_in_another_tab_is_who_this_one_shows(visit: Any, world: World, home: Household) -> None:
    stranger = await world.people.household()
    visitor = await visit()
    visitor.expected = ("401",)
    page = visitor.page
    await visitor.sign_in(home.owner.key, "tasks")
    other = await page.context.new_page()
    await other.goto(page.url)
    await other.get_by_role("button", name=f"Signed in as {home.owner.user_id}").click()
    await other.get_by_role("menuitem", name="Sign out", exact=True).click()
    await expect(page.get_by_text("The session has ended")).to_be_visible()
    async with page.expect_event("load"):
        await other.get_by_label("API key").fill(stranger.owner.key)
        await other.keyboard.press("Enter")
    await expect(page.get_by_role("button", name=f"Signed in as {stranger.owner.user_id}")).to_be_visible()


@pytest.mark.parametrize(
    "path", ["", "tasks", "dead-letters", "keys", "migration", "workers", "dags/new?template=saga&tenant="]
)
async def test_a_narrow_window_has_room_for_the_page(visit: Any, world: World, home: Household, path: str) -> None:
    visitor = await visit()
    page = visitor.page
    await page.set_viewport_size({"width": 360, "height": 640})
    await world.submit(home)
    await visitor.sign_in(world.admin.key, path + home.tenant_id if path.endswith("=") else path)
    await expect(page.locator("main h1")).to_be_visible()
    width = "document.querySelector('main').clientWidth"
    assert await page.evaluate(f"{width} >= 340 && document.documentElement.scrollWidth <= 360"), path
    await visitor.look(f"narrow-{path.partition('?')[0].replace('/', '-')}")


async def test_little_is_loaded_first_and_little_more_for_the_editor(visit: Any, home: Household, world: World) -> None:
    visitor = await visit()
    page = visitor.page
    scripts: set[str] = set()
    page.on("request", lambda request: scripts.add(request.url))
    page.on("worker", lambda worker: scripts.add(worker.url))
    await visitor.sign_in(home.owner.key)
    await page.wait_for_load_state()
    first = set(scripts)
    assert 50_000 < gzipped(first) <= MOST_FIRST
    await visitor.open("dags/new?template=saga")
    await expect(page.locator(".react-flow__node").first).to_be_visible()
    await expect(page.locator(".cm-content")).to_be_visible()
    assert 100_000 < gzipped(scripts - first) <= MOST_FOR_EDITOR


def gzipped(urls: set[str]) -> int:
    """Bytes of those of them that are scripts."""
    names = [url.rpartition("/")[2] for url in urls if url.endswith(".js")]
    size = sum(len(gzip.compress((BUILT / "assets" / name).read_bytes(), 6)) for name in names)
    log.info("%d bytes of gzip in %d files", size, len(names))
    return size
