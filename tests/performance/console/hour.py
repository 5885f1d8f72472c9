"""An hour of live updates on a simulated clock: what the pages hold of memory in the end, against the first minute."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from typing import Any

import httpx
from playwright.async_api import CDPSession, Page, expect

from tests.performance.console.graphs import apply, layered, start
from tests.performance.console.visits import Person

MINUTES = int(os.environ.get("CONSOLE_MINUTES", "60"))
#: Tasks in each twenty seconds: each changes three times, so 25,000 changes an hour.
TASKS = 48
STEP_SECONDS = 20


async def hour(person: Person, http: httpx.AsyncClient) -> dict[str, Any]:
    """Heap in use after forced collections. The pages hear of real tasks; their timers run on the simulated clock."""
    await apply(http, "console-hour", layered(199, gate=True))
    run_id = await start(http, "console-hour")
    pages = {"tasks": "tasks", "overview": "overview", "run": f"dag-runs/{run_id}"}
    first: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        opened: dict[str, tuple[Page, CDPSession]] = {}
        for name, path in pages.items():
            page = await stack.enter_async_context(person.page(is_clocked=True))
            await person.open(page, path)
            await expect(page.locator("main h1")).to_be_visible()
            opened[name] = (page, await page.context.new_cdp_session(page))
        for minute in range(1, MINUTES + 1):
            for _ in range(60 // STEP_SECONDS):
                await _step(http, [page for page, _ in opened.values()])
            if minute == 1:
                first = {name: await _heap(session) for name, (_, session) in opened.items()}
        last = {name: await _heap(session) for name, (_, session) in opened.items()}
    return {
        f"an hour of {name}": {
            "first_minute_mb": round(first[name], 2),
            "after_mb": round(last[name], 2),
            "ratio": round(last[name] / first[name], 3),
        }
        for name in pages
    }


async def _step(http: httpx.AsyncClient, pages: list[Page]) -> None:
    """Twenty seconds: tasks come and end, the page of tasks shows the newest, and the clocks go on."""
    tasks = [{"type": "bench_noop", "payload": {}} for _ in range(TASKS)]
    answer = await http.post("/gateway/v1/tasks/batch", json={"tasks": tasks})
    answer.raise_for_status()
    ids = {task["task_id"] for task in answer.json()["tasks"]}
    first = pages[0].locator("[role=row][aria-rowindex='2']")
    async with asyncio.timeout(60):
        while await first.locator("[title]").first.get_attribute("title") not in ids:
            await asyncio.sleep(0.02)
        while "completed" not in (await first.text_content() or ""):
            await asyncio.sleep(0.02)
    await asyncio.gather(*(page.clock.run_for(STEP_SECONDS * 1000) for page in pages))


async def _heap(session: CDPSession) -> float:
    """Megabytes in use."""
    for _ in range(3):
        await session.send("HeapProfiler.collectGarbage")
    return float((await session.send("Runtime.getHeapUsage"))["usedSize"]) / 2**20
