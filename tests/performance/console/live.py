"""From the commit of a change to the frame that shows it: the list of tasks, and the picture of a run."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import asyncpg
import httpx
from playwright.async_api import Page, expect

from tests.performance.console.graphs import apply, approve, start
from tests.performance.console.visits import Person
from tests.performance.table import percentiles

TASKS = int(os.environ.get("CONSOLE_TASKS", "300"))
CHAIN, CHAINS = 100, 3

#: When a frame has shown what is found for the first time, by its key.
_SEE = """
window.seen = {};
new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => {
  for (const [key, node] of find()) seen[key] ??= Date.now();
}))).observe(document.body, {childList: true, subtree: true, characterData: true});
"""
_ROWS = """
window.find = () => [...document.querySelectorAll("[role=cell][title]:first-child")].flatMap((cell) =>
  [[cell.title, cell], [`${cell.title} ${cell.nextElementSibling.textContent}`, cell]]);
"""
_NODES = """
window.find = () => [...document.querySelectorAll(".react-flow__node")].map((node) =>
  [`${node.dataset.id} ${node.querySelector(".status").textContent}`, node]);
"""
#: The commit of the acceptance is after the first time, that of the end after the second, both by some milliseconds.
_TIMES = """
SELECT task_id, extract(epoch FROM created_at)::float8 AS created, extract(epoch FROM finished_at)::float8 AS finished
FROM taskgate.dispatch WHERE task_id = ANY ($1::text[])
"""
_NODE_TIMES = """
SELECT n.path, extract(epoch FROM d.finished_at)::float8 AS finished
FROM taskgate.dag_node n JOIN taskgate.dispatch d ON d.task_id = n.task_id WHERE n.run_id = $1
"""


async def live(person: Person, http: httpx.AsyncClient, database: asyncpg.Connection) -> dict[str, Any]:
    """The times count from the row's own time, which is before its commit. Nothing is asked for meanwhile."""
    appeared, completed, polled = await _list(person, http, database)
    nodes = await _picture(person, http, database)
    return {
        "commit to pixel: task appears": {**percentiles(appeared), "requests_meanwhile": polled},
        "commit to pixel: task completed": percentiles(completed),
        "commit to pixel: node completed": percentiles(nodes),
    }


async def _list(
    person: Person, http: httpx.AsyncClient, database: asyncpg.Connection
) -> tuple[list[float], list[float], int]:
    async with person.page() as page:
        await person.open(page, "tasks")
        await expect(page.get_by_role("heading", name="Tasks")).to_be_visible()
        await submit(http)
        await expect(page.locator("[role=cell][title]").first).to_be_visible()
        await page.evaluate(_ROWS + _SEE)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        ids = []
        for _ in range(TASKS):
            ids.append(await submit(http))
            await _until(page, f"{ids[-1]} completed")
        seen: dict[str, float] = await page.evaluate("seen")
        rows = await database.fetch(_TIMES, ids)
        appeared = [seen[row["task_id"]] / 1000 - row["created"] for row in rows]
        completed = [seen[f"{row['task_id']} completed"] / 1000 - row["finished"] for row in rows]
        return appeared, completed, len([url for url in asked if "/tasks" in url])


async def _picture(person: Person, http: httpx.AsyncClient, database: asyncpg.Connection) -> list[float]:
    chain: dict[str, Any] = {"gate": {"approval": {"message": "Go on?"}}}
    for number in range(CHAIN):
        chain[f"n{number}"] = {"type": "bench_noop", "needs": [f"n{number - 1}" if number else "gate"]}
    await apply(http, "console-chain", chain)
    took = []
    for _ in range(CHAINS):
        run_id = await start(http, "console-chain")
        async with person.page() as page:
            await person.open(page, f"dag-runs/{run_id}")
            await expect(page.locator(".react-flow__node").first).to_be_visible()
            await page.evaluate(_NODES + _SEE)
            await approve(http, run_id)
            await _until(page, f"n{CHAIN - 1} completed", within=60)
            seen: dict[str, float] = await page.evaluate("seen")
            rows = await database.fetch(_NODE_TIMES, run_id)
            took += [seen[f"{row['path']} completed"] / 1000 - row["finished"] for row in rows if row["finished"]]
    return took


async def submit(http: httpx.AsyncClient) -> str:
    answer = await http.post("/gateway/v1/tasks", json={"type": "bench_noop", "payload": {}})
    answer.raise_for_status()
    return str(answer.json()["task_id"])


async def _until(page: Page, key: str, *, within: float = 20) -> None:
    async with asyncio.timeout(within):
        while not await page.evaluate("key => key in seen", key):
            await asyncio.sleep(0.01)
