"""(m) The console in Chromium: first load, commit to pixel, large graphs, a million tasks, an hour of live updates.

`CONSOLE_STEPS` names what is measured (all without it): `opening,live,runs,editors,layouts,hour,list`; `CONSOLE_FILL`
(1,000,000) says over how many tasks the list is.
"""

from __future__ import annotations

import os
from typing import Any

import asyncpg

from deploy.local.env import read_env
from tests.performance.console import graphs, hour, live, opening, task_list
from tests.performance.console.visits import Person, chromium
from tests.performance.large import CHUNK, DAYS, SQL, TENANTS
from tests.performance.stack import client, measured_stack
from tests.performance.table import render

STEPS = ("opening", "live", "runs", "editors", "layouts", "hour", "list")
FILL = int(os.environ.get("CONSOLE_FILL", "1000000"))
#: Its tasks and nodes are on Temporal.
TENANT = "umbrella"


async def run() -> dict[str, Any]:
    steps = [step for step in os.environ.get("CONSOLE_STEPS", ",".join(STEPS)).split(",") if step]
    figures: dict[str, Any] = {}
    async with chromium() as browser, measured_stack() as stack, client(stack, TENANT) as http:
        variables = read_env(stack.env_file)
        url = variables["TASKGATE_URL"]
        owner = Person(browser, url, variables[f"TASKGATE_KEY_{TENANT.upper()}"])
        database = await asyncpg.connect(stack.database_url, command_timeout=1800)
        measures = {
            "opening": lambda: opening.opening(owner),
            "live": lambda: live.live(owner, http, database),
            "runs": lambda: graphs.runs(owner, http),
            "editors": lambda: graphs.editors(owner, http),
            "layouts": lambda: graphs.layouts(owner, http),
            "hour": lambda: hour.hour(owner, http),
        }
        for step in STEPS[:-1]:
            if step in steps:
                figures |= _told(await measures[step]())
        if "list" in steps:
            await _fill(database)
            admin = Person(browser, url, variables["TASKGATE_ADMIN_KEY"])
            figures |= _told(await task_list.task_list(admin))
        await database.close()
    return {"console": figures | {"load": {"average": round(os.getloadavg()[0], 1)}}}


def _told(figures: dict[str, Any]) -> dict[str, Any]:
    """It takes minutes: each step is told when it is done."""
    print(render({"console": figures}), flush=True)
    return figures


async def _fill(database: asyncpg.Connection) -> None:
    """Ended tasks of ten tenants, older than all others."""
    await database.execute("SET synchronous_commit = off")
    for first in range(1, FILL + 1, CHUNK):
        await database.execute(SQL.fill, min(CHUNK, FILL - first + 1), first, TENANTS, DAYS * 86_400 / FILL)
    await database.execute("VACUUM ANALYZE")
