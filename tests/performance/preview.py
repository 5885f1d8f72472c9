"""(s) A preview of a percentage of tasks over a million recorded ones: seconds, of which 60 are allowed.

`PREVIEW_TASKS` makes it shorter.
"""

from __future__ import annotations

import os
import time
from typing import Any

from deploy.local.env import read_env
from gateway.storage.database import connect
from gateway.storage.queries import Queries
from tests.performance.stack import client, measured_stack

TASKS = int(os.environ.get("PREVIEW_TASKS", "1000000"))
#: What a preview may take (seconds), and previews that are measured.
AT_MOST, ROUNDS = 60.0, 3
PARTS = ("postgres", "redis", "gateway")
SQL = Queries("tests.performance", "preview.sql")


async def run() -> dict[str, Any]:
    async with measured_stack(PARTS) as stack, client(stack, "acme") as http:
        await fill(stack.database_url, TASKS)
        http.headers["Authorization"] = f"Bearer {read_env(stack.env_file)['TASKGATE_ADMIN_KEY']}"
        took = []
        for _ in range(ROUNDS):
            began = time.monotonic()
            asked = {"stage": "live", "percent": 50, "unit": "task"}
            answer = await http.post("/gateway/v1/migration/preview", json=asked, timeout=180)
            took.append(round(time.monotonic() - began, 1))
            answer.raise_for_status()
            assert answer.json()["tasks"] == TASKS
    assert max(took) <= AT_MOST, f"previews took {took} s"
    return {"preview": {"tasks": TASKS, "seconds": took, "load": round(os.getloadavg()[0], 1)}}


async def fill(database_url: str, tasks: int) -> None:
    """So many tasks of 20 hours, without what makes writing slow: triggers and indexes, which previews do not use."""
    connection = await connect(database_url)
    try:
        await connection.execute(SQL.without_triggers)
        for row in await connection.fetch(SQL.indexes):
            await connection.execute(f"DROP INDEX {row['name']}")
        await connection.execute(SQL.made)
        await connection.execute(SQL.make, tasks)
        await connection.execute(SQL.fill_logs)
        await connection.execute(SQL.fill_dispatch)
        await connection.execute(SQL.analyze)
    finally:
        await connection.close()
