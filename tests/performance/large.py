"""(l) The same with ten million ended tasks as with few: submits, dispatch, lists, counts, `why`; bytes a task.

Also that nothing reads a whole table meanwhile: sequential scans are counted by PostgreSQL, whoever makes them, over
all measured requests and what the leader does beside them. `LARGE_TASKS` makes it smaller. Needs 2.5 kB of disk a task.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import asyncpg
import httpx

from deploy.local.env import read_env
from gateway.storage.queries import Queries
from tests.performance.dispatch import through_gateway
from tests.performance.filling import filling
from tests.performance.scale import Samples, call, figures, reads, timed
from tests.performance.stack import client, measured_stack

TASKS = int(os.environ.get("LARGE_TASKS", "10000000"))
CHUNK = 200_000
#: Those that the gateway has at first.
FEW = 2_000
SUBMITS, DISPATCHES = 100, 60
DAYS = 24.9
PARTS = ("postgres", "redis", "gateway", "worker-redis")
#: The first one is the caller.
TENANTS = ["initech", "acme", "globex", "umbrella", *(f"tenant-{n}" for n in range(6))]
SQL = Queries("tests.performance", "large.sql")

LATER = {"type": "bench_noop", "payload": {"n": 1}, "delay_seconds": 30 * 86400}
MINE = {
    "list": "/gateway/v1/tasks",
    "list completed": "/gateway/v1/tasks?state=completed",
    "list failed": "/gateway/v1/tasks?state=failed",
    "list type": "/gateway/v1/tasks?type=add_episode",
    "list rare type": "/gateway/v1/tasks?type=rare_type",
    "list old": "/api/v1/tasks/",
    "recent": "/api/v1/tasks/recent?status=Completed",
    "stats": "/api/v1/tasks/stats",
    "depth": "/api/v1/tasks/queue-depth",
    "breakdown": "/api/v1/tasks/status-breakdown",
}
ALL = {
    "admin: list": "/gateway/v1/tasks",
    "admin: list failed": "/gateway/v1/tasks?state=failed",
    "admin: recent": "/api/v1/tasks/recent?status=Completed",
    "admin: stats": "/api/v1/tasks/stats",
    "admin: overview": "/gateway/v1/overview",
}


async def run() -> dict[str, Any]:
    async with measured_stack(PARTS) as stack, client(stack, TENANTS[0]) as http:
        variables = read_env(stack.env_file)
        admin = httpx.AsyncClient(
            base_url=variables["TASKGATE_URL"],
            headers={"Authorization": f"Bearer {variables['TASKGATE_ADMIN_KEY']}"},
            timeout=120,
        )
        database = await asyncpg.connect(stack.database_url, command_timeout=1800)

        async def look() -> Samples:
            task = await database.fetchval(SQL.some_task, TENANTS[0])
            own = {"why": f"/gateway/v1/tasks/{task}/why", "task": f"/gateway/v1/tasks/{task}"}
            return await _writes(http, database) | await reads(http, MINE | own) | await reads(admin, ALL)

        await database.execute(SQL.fill, FEW, 1, TENANTS, 0.001)
        await database.execute("VACUUM ANALYZE")
        few = await look()
        began = time.monotonic()
        async with filling(stack, database):
            step = DAYS * 86_400 / TASKS
            for first in range(FEW + 1, TASKS + 1, CHUNK):
                await database.execute(SQL.fill, min(CHUNK, TASKS - first + 1), first, TENANTS, step)
        taken = time.monotonic() - began
        scans = {row["name"]: (row["scans"], row["rows"]) for row in await database.fetch(SQL.scans)}
        many = await look()
        await asyncio.sleep(70)  # what is done once a minute is done, and told
        read = {
            f"{row['name']} scanned": {
                "times": row["scans"] - scans[row["name"]][0],
                "rows": row["rows"] - scans[row["name"]][1],
            }
            for row in await database.fetch(SQL.scans)
        }
        sizes = {
            f"{row['name']} bytes": {"rows": row["rows"], "indexes": row["indexes"]}
            for row in await database.fetch(SQL.sizes, TASKS)
        }
        await admin.aclose()
        await database.close()
    load = {"fill": {"tasks": TASKS, "seconds": round(taken, 1), "load": round(os.getloadavg()[0], 1)}}
    return {"large": figures(few, many) | sizes | read | load}


async def _writes(http: httpx.AsyncClient, database: asyncpg.Connection) -> Samples:
    samples: Samples = {"submit": [], "dispatch redis": []}
    for _ in range(10):
        await through_gateway(http, database)
    for _ in range(SUBMITS):
        samples["submit"].append(await timed(lambda: call(http, "POST", "/gateway/v1/tasks", json=LATER)))
    for _ in range(DISPATCHES):
        samples["dispatch redis"].append(await through_gateway(http, database))
    return samples
