"""What somebody else changes is shown on pages that are open, and none of them asks again and again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Request, expect

from contracts.people import Household
from contracts.world import World
from visitor import Visitor

#: For so long (milliseconds of the page's own clock) an open page asks for nothing. A silent stream is left after 40 s.
QUIET = 31_000


class Count:
    """Requests of a page for data, streams apart."""

    def __init__(self, page: Page) -> None:
        self.asked: list[str] = []
        page.on("request", self._note)

    def _note(self, request: Request) -> None:
        if "/gateway/v1/" in request.url and "/stream" not in request.url:
            self.asked.append(f"{request.method} {request.url}")


@dataclass(frozen=True)
class Case:
    """A page, what somebody else does meanwhile, and where it is seen."""

    path: Callable[[Household], str]
    change: Callable[[World, Household], Awaitable[Any]]
    seen: Callable[[Page, Household], Locator]


async def ask(world: World, method: str, path: str, **more: Any) -> dict[str, Any]:
    answer = await world.client(world.admin).request(method, f"/gateway/v1/{path}", **more)
    assert answer.is_success, answer.text
    return dict(answer.json()) if answer.content else {}


async def make_key(world: World, home: Household) -> None:
    new = {"name": f"of {home.name}", "user_id": home.owner.user_id, "tenant_id": home.tenant_id, "scope": "read"}
    await ask(world, "POST", "keys", json=new)


async def set_quota(world: World, home: Household) -> None:
    await ask(world, "PUT", f"tenants/{home.tenant_id}/quotas", json={"queued": 4321, "why": f"of {home.name}"})


async def pause(world: World, home: Household) -> None:
    await ask(world, "POST", "pauses", json={"tenant_id": home.tenant_id, "why": f"of {home.name}"})


async def change_weight(world: World, home: Household) -> None:
    await ask(world, "PUT", f"tenants/{home.tenant_id}", json={"weight": 7.25, "why": "more"})


async def put_plan(world: World, home: Household) -> None:
    text = f"why: of {home.name}\nbake: '1h'\nwaves: [{{name: pilot, tenants: [{home.tenant_id}]}}]\n"
    name, headers = f"plan-{home.name}", {"Content-Type": "application/yaml"}
    await ask(world, "PUT", f"migration/plans/{name}", content=f"name: {name}\n{text}", headers=headers)


async def make_schedule(world: World, home: Household) -> None:
    action = {"type": "contract_probe", "payload": {"do": ""}, "project_id": home.project_id}
    new = {"name": f"of {home.name}", "specs": [{"every_seconds": 86_400}], "action": action}
    answer = await world.client(home.owner).post("/gateway/v1/schedules", json=new)
    assert answer.is_success, answer.text


async def apply_dag(world: World, home: Household) -> None:
    text = f"name: of-{home.name}\nnodes: {{a: {{type: contract_probe}}}}\n"
    path, headers = f"dags/of-{home.name}?any_types=1&tenant_id={home.tenant_id}", {"Content-Type": "application/yaml"}
    await ask(world, "PUT", path, content=text, headers=headers)


async def add_worker(world: World, home: Household) -> None:
    await world.database.execute(
        "INSERT INTO taskgate.process (process_id, kind, pool, backend, host, pid, version, slots, task_types,"
        " lock_key)"
        " VALUES ('of-' || $1, 'worker', 'A', 'temporal', 'box/boot/1', 7, '0.1', 20, '{probe}', 1)",
        home.name,
    )


CASES = {
    "keys": Case(
        lambda _: "keys", make_key, lambda page, home: page.get_by_role("row").filter(has_text=f"of {home.name}")
    ),
    "quota": Case(
        lambda home: f"tenants/{home.tenant_id}", set_quota, lambda page, home: page.get_by_text("4,321").first
    ),
    "pause": Case(
        lambda home: f"tenants/{home.tenant_id}", pause, lambda page, home: page.get_by_text(f"of {home.name}").first
    ),
    "tenants": Case(
        lambda _: "tenants",
        change_weight,
        lambda page, home: page.get_by_role("row").filter(has_text=home.tenant_id).get_by_text("7.25"),
    ),
    "audit": Case(
        lambda home: f"audit?subject=tenant:{home.tenant_id}", set_quota, lambda page, _: page.get_by_text("quota.set")
    ),
    "plans": Case(
        lambda _: "migration", put_plan, lambda page, home: page.get_by_role("article", name=f"plan-{home.name}")
    ),
    "schedules": Case(
        lambda _: "schedules", make_schedule, lambda page, home: page.get_by_role("link", name=f"of {home.name}")
    ),
    "dags": Case(
        lambda home: f"dags?tenant={home.tenant_id}",
        apply_dag,
        lambda page, home: page.get_by_role("link", name=f"of-{home.name}"),
    ),
    "overview": Case(lambda _: "overview", pause, lambda page, home: page.get_by_text(f"of {home.name}").first),
    "workers": Case(
        lambda _: "workers", add_worker, lambda page, home: page.get_by_role("row").filter(has_text=f"of-{home.name}")
    ),
}
#: What time alone changes is looked at so often meanwhile, and why stands at `REFRESH` of the page.
LOOKS = {"overview": 3, "workers": 3}


@pytest.mark.parametrize("name", CASES)
async def test_what_somebody_else_changes_is_shown_and_nobody_asks_for_it(
    visit: Any, world: World, home: Household, name: str
) -> None:
    case = CASES[name]
    visitor: Visitor = await visit()
    page = visitor.page
    await page.clock.install()
    async with page.expect_request(lambda request: "/news/stream" in request.url):
        await visitor.sign_in(world.admin.key, case.path(home))
    seen = case.seen(page, home)
    await expect(seen).to_have_count(0)
    await page.wait_for_load_state("load")
    # What is read when the streams open is read.
    await expect(
        page.get_by_text("As of").or_(page.get_by_text("Figures of")).or_(page.locator("table")).first
    ).to_be_visible()
    await page.clock.run_for(2000)
    count = Count(page)
    await page.clock.run_for(QUIET)
    assert len(count.asked) <= LOOKS.get(name, 0), count.asked
    await case.change(world, home)
    await expect(seen).to_be_visible()
    assert 1 <= len(count.asked) <= 12, count.asked
    if name == "workers":
        await world.database.execute("DELETE FROM taskgate.process WHERE process_id = 'of-' || $1", home.name)


async def test_after_a_cut_the_page_says_so_and_nothing_is_missing(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(world.admin.key, f"tenants/{home.tenant_id}")
    await expect(page.get_by_role("heading", name=home.tenant_id)).to_be_visible()
    await page.route("**/news/stream**", lambda route: route.abort())
    for subscription in list(world.gateway.news_watch._open):
        subscription.close()
    await expect(page.get_by_text("Disconnected since")).to_be_visible()
    await set_quota(world, home)
    await page.unroute("**/news/stream**")
    await expect(page.get_by_text("4,321").first).to_be_visible()
    visitor.faults.clear()  # the browser writes down each attempt that came to nothing


async def test_of_many_pages_a_change_is_only_pointed_out(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    for number in range(101):
        await ask(world, "PUT", f"tenants/{home.tenant_id}/quotas", json={"queued": number, "why": "one more"})
    await visitor.sign_in(world.admin.key, f"audit?subject=tenant:{home.tenant_id}")
    older = page.get_by_role("button", name="Older entries")
    await expect(older).to_be_enabled()  # it is not while the list is read again, because the stream has opened
    await older.press("Enter")
    await expect(page.get_by_text("changes are only pointed out")).to_be_visible()
    rows = page.get_by_role("row")
    before = await rows.count()
    count = Count(page)
    await set_quota(world, home)
    await expect(page.get_by_text("Something has changed since")).to_be_visible()
    assert count.asked == []
    assert await rows.count() == before
    await visitor.look("audit-behind")
    await page.get_by_role("button", name="Read again").press("Enter")
    await expect(page.get_by_text("4321").first).to_be_visible()
    await expect(page.get_by_text("Something has changed since")).to_be_hidden()
