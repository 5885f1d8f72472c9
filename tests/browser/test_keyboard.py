"""Every page by keyboard alone, in both themes: everything is reached, in its order, and one sees where one is."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from contracts.dag_world import Dags
from contracts.people import Household
from contracts.world import World
from deploy.local.console import HOME
from gateway.routing.stages import Stage
from keyboard import Keyboard
from visitor import THEMES, Visitor

PAGES = HOME / "src" / "pages"
DAG = """
name: keys
params:
  words: {type: list}
nodes:
  begin: {type: contract_probe, input: {do: ""}}
  enough: {approval: {message: "Go on?"}, needs: [begin]}
  last: {type: contract_probe, needs: [enough], input: {do: ""}}
"""


@dataclass(frozen=True)
class Case:
    """How a page is filled, and where its things are; `opens`: what can be opened there, however it is called."""

    prepare: Callable[[World, Household], Awaitable[str]]
    shown: Callable[[Page], Locator]
    is_admins: bool = False
    opens: tuple[str, ...] = ()
    #: What a button opens that does not say so.
    asks: tuple[str, ...] = ()


def text(what: str) -> Callable[[Page], Locator]:
    return lambda page: page.get_by_text(what).first


def button(name: str) -> Callable[[Page], Locator]:
    return lambda page: page.get_by_role("button", name=name).first


async def ask(world: World, method: str, path: str, **more: Any) -> dict[str, Any]:
    answer = await world.client(world.admin).request(method, f"/gateway/v1/{path}", **more)
    assert answer.is_success, answer.text
    return dict(answer.json()) if answer.content else {}


async def one_task(world: World, home: Household) -> str:
    task_id = await world.submit(home, "fatal no")
    await world.ended(task_id)
    return task_id


async def tasks(world: World, home: Household) -> str:
    await one_task(world, home)
    await one_task(world, home)
    return f"tasks?q=project:{home.project_id}"


async def task(world: World, home: Household) -> str:
    return f"tasks/{await one_task(world, home)}"


async def dead_letters(world: World, home: Household) -> str:
    await one_task(world, home)
    return "dead-letters"


async def callbacks(world: World, home: Household) -> str:
    await ask(world, "POST", f"tenants/{home.tenant_id}/webhook-secret")
    # Nobody answers at this port.
    await world.ended(await world.submit(home, callback={"url": "http://127.0.0.1:9/hook"}))
    return "callbacks"


async def schedule(world: World, home: Household) -> str:
    action = {"type": "contract_probe", "payload": {"do": ""}, "project_id": home.project_id}
    new = {"name": f"of {home.name}", "specs": [{"every_seconds": 86_400}], "action": action}
    answer = await world.client(home.owner).post("/gateway/v1/schedules", json=new)
    assert answer.is_success, answer.text
    return f"schedules/{answer.json()['schedule_id']}"


async def schedules(world: World, home: Household) -> str:
    await schedule(world, home)
    return "schedules"


async def dag(world: World, home: Household) -> str:
    dags = Dags(world, home)
    await dags.apply("keys", DAG)
    await dags.apply("keys", DAG.replace("Go on?", "Shall it go on?"))
    return "dags/keys"


async def dags(world: World, home: Household) -> str:
    await dag(world, home)
    return "dags"


async def run(world: World, home: Household) -> str:
    await dag(world, home)
    await world.flag.set(Stage.LIVE, home.tenant_id)
    dags = Dags(world, home)
    run_id = await dags.start("keys", words=[])
    await dags.until(run_id, "enough", "waiting")
    return f"dag-runs/{run_id}?node=enough"


async def runs(world: World, home: Household) -> str:
    await run(world, home)
    return "dag-runs"


async def keys(world: World, home: Household) -> str:
    new = {"name": f"of {home.name}", "user_id": home.owner.user_id, "tenant_id": home.tenant_id, "scope": "read"}
    await ask(world, "POST", "keys", json=new)
    return "keys"


async def tenant(world: World, home: Household) -> str:
    await ask(world, "PUT", f"tenants/{home.tenant_id}/quotas", json={"queued": 4321, "why": "a start"})
    await ask(world, "POST", "pauses", json={"tenant_id": home.tenant_id, "why": "a storm"})
    return f"tenants/{home.tenant_id}"


async def tenants(world: World, home: Household) -> str:
    return "tenants"


async def overview(world: World, home: Household) -> str:
    await one_task(world, home)
    await ask(world, "POST", "pauses", json={"tenant_id": home.tenant_id, "why": "a storm"})
    return "overview"


async def migration(world: World, home: Household) -> str:
    body = (
        f"name: keys-{home.name}\nwhy: it is time\nbake: '1h'\nwaves: [{{name: pilot, tenants: [{home.tenant_id}]}}]\n"
    )
    headers = {"Content-Type": "application/yaml"}
    await ask(world, "PUT", f"migration/plans/keys-{home.name}", content=body, headers=headers)
    return "migration"


async def tenant_migration(world: World, home: Household) -> str:
    await one_task(world, home)
    await world.flag.set(Stage.LIVE, home.tenant_id)
    await one_task(world, home)
    return f"migration/{home.tenant_id}"


async def workers(world: World, home: Household) -> str:
    return "workers"


async def audit(world: World, home: Household) -> str:
    await tenant(world, home)
    return f"audit?subject=tenant:{home.tenant_id}"


CASES = {
    "audit": Case(audit, text("quota.set"), is_admins=True),
    "callbacks": Case(callbacks, text("msg_")),
    "dags": Case(dags, button("New DAG"), opens=("New DAG",)),
    "dags/$name": Case(dag, button("Compare with version 2"), opens=("Run", "Use again")),
    "dag-runs": Case(runs, text("running")),
    "dag-runs/$runId": Case(run, button("Approve"), opens=("Cancel the run", "Send a signal")),
    "dead-letters": Case(dead_letters, text("Fatal")),
    "keys": Case(keys, button("Rotate"), opens=("Make a key", "Rotate", "Revoke")),
    "migration": Case(migration, button("Start"), is_admins=True, opens=("Start",), asks=("Move",)),
    "migration/$tenantId": Case(tenant_migration, text("armed"), is_admins=True),
    "overview": Case(overview, text("a storm"), is_admins=True, asks=("Go to",)),
    "schedules": Case(schedules, text("of ")),
    "schedules/$scheduleId": Case(schedule, button("Run now"), opens=("Pause", "Backfill")),
    "tasks": Case(tasks, button("Act on all"), opens=("Act on all that match",)),
    "tasks/$taskId": Case(task, button("Redrive"), is_admins=True),
    "tenants": Case(tenants, lambda page: page.get_by_role("table").first, is_admins=True),
    "tenants/$tenantId": Case(tenant, text("4,321"), is_admins=True, opens=("Pause",)),
    "workers": Case(workers, button("Drain"), is_admins=True, opens=("Drain",)),
}


def test_every_page_is_here() -> None:
    """As `pages/registry.ts` finds them."""
    found = [re.search(r'path: "([^"]+)"', file.read_text()) for file in PAGES.glob("*/page.ts")]
    assert {match[1] for match in found if match is not None} == set(CASES)


async def test_the_way_in_by_keyboard_alone(visit: Any) -> None:
    visitor: Visitor = await visit()
    await visitor.open()
    await expect(visitor.page.get_by_label("API key")).to_be_focused()
    keyboard = Keyboard(visitor.page)
    assert await keyboard.walk("sign-in") >= 1
    assert keyboard.faults == [], "\n".join(keyboard.faults)


@pytest.mark.parametrize("path", CASES)
async def test_a_page_by_keyboard_alone(visit: Any, world: World, home: Household, path: str) -> None:
    case = CASES[path]
    address = await case.prepare(world, home)
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in((world.admin if case.is_admins else home.owner).key, address)
    await expect(case.shown(page)).to_be_visible()
    await page.wait_for_load_state("load")
    keyboard = Keyboard(page)
    for theme in THEMES:
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
        await expect(page.locator("html")).to_have_attribute("data-theme", theme)
        assert await keyboard.walk(theme) > 10
        opened = await keyboard.open_each(theme, case.asks)
        for name in (*case.opens, *case.asks, "Signed in as"):
            assert any(f'"{name}' in one for one in opened), (name, opened)
    assert keyboard.faults == [], "\n".join(keyboard.faults)
