"""What many tenants cost one worker of all queues: its start, memory and processor time while idle, and dispatch.

Enterprise and VIP tenants have queues of their own, one per task type; standard tenants share theirs. Each mix of
tenants has a stack of its own; `none` is what the same costs without any. `TENANTS=50,200,1750` measures another mix.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import Any

import asyncpg
import httpx

from deploy.local import taskgate
from deploy.local.env import read_env
from deploy.local.stack import EmbeddedStack
from gateway.access.placement import Tier
from tests.performance.fairness import single
from tests.performance.processes import cpu_of, resident_mb, server_pids, tree
from tests.performance.stack import measured_stack
from tests.performance.table import percentiles

#: Enterprise, VIP, standard.
MIXES = {"none": (0, 0, 0), "2000": (50, 200, 1750), "200 with queues": (200, 0, 0)}
SECONDS = 30.0
ROUNDS = 40
PATIENCE = 180.0

ADD_TENANTS = """
INSERT INTO tenants (id, name, owner_id, plan)
SELECT 'many-' || $2 || '-' || n, 'many', t.owner_id, $2 FROM tenants t, generate_series(1, $1::int) n
WHERE t.id = 'umbrella'
"""
ADD_PROJECTS = """
INSERT INTO projects (id, tenant_id, name, owner_id)
SELECT 'p-' || id, id, 'many', owner_id FROM tenants WHERE id LIKE 'many-%' ON CONFLICT DO NOTHING
"""
WORKER = ("worker", "--backend", "temporal", "--slots", "20")


async def add(database: asyncpg.Connection, tier: Tier, count: int) -> None:
    """So many more tenants, with a project each."""
    await database.execute(ADD_TENANTS, count, str(tier))
    await database.execute(ADD_PROJECTS)


async def measure(stack: EmbeddedStack, counts: tuple[int, ...]) -> dict[str, Any]:
    await taskgate.run(
        *("flags", "set", "--default", "--stage", "live", "--by", "bench", "--why", "benchmark"),
        environment=stack.environment(),
    )
    database = await asyncpg.connect(stack.database_url)
    log = stack.directory / "worker-many.log"
    worker: asyncio.subprocess.Process | None = None
    try:
        for tier, count in zip((Tier.ENTERPRISE, Tier.VIP, Tier.STANDARD), counts, strict=True):
            await add(database, tier, count)
        began = time.monotonic()
        with log.open("wb") as output:
            worker = await asyncio.create_subprocess_exec(
                taskgate.program(), *WORKER, env={**os.environ, **stack.environment()}, stdout=output, stderr=output
            )
        async with asyncio.timeout(PATIENCE):
            while b" is ready" not in log.read_bytes():
                await asyncio.sleep(0.02)
        figures: dict[str, Any] = {"ready_s": round(time.monotonic() - began, 1)}
        await _dispatch(stack, database)  # the gateway learns of the handler, Temporal of the queues
        figures |= await _idle(stack, worker.pid)
        figures["dispatch"] = percentiles(await _dispatch(stack, database))
        return figures
    finally:
        await database.close()
        if worker is not None and worker.returncode is None:
            worker.terminate()
            await worker.wait()


async def _idle(stack: EmbeddedStack, worker: int) -> dict[str, Any]:
    """Memory and share of a core of each part."""
    parts = {"worker": tree(worker), **await server_pids(stack)}
    before = {pid: cpu_of({pid}) for pids in parts.values() for pid in pids}
    await asyncio.sleep(SECONDS)
    return {
        name: {
            # What ended meanwhile is left out.
            "core_percent": round(100 * sum(max(cpu_of({pid}) - before[pid], 0.0) for pid in pids) / SECONDS, 2),
            "mb": round(sum(map(resident_mb, pids)), 1),
        }
        for name, pids in parts.items()
    }


async def _dispatch(stack: EmbeddedStack, database: asyncpg.Connection) -> list[float]:
    """Seconds from the request to the handler's first line, of tasks of tenants by lot, one at a time."""
    projects = [row["id"] for row in await database.fetch("SELECT id FROM projects WHERE id LIKE 'p-many-%'")]
    variables = read_env(stack.env_file)
    chance = random.Random(7)
    headers = {"Authorization": f"Bearer {variables['TASKGATE_ADMIN_KEY']}"}
    async with httpx.AsyncClient(base_url=variables["TASKGATE_URL"], headers=headers, timeout=30) as http:
        return [
            await single(http, database, project_id=chance.choice(projects) if projects else None)
            for _ in range(ROUNDS)
        ]


async def run() -> dict[str, Any]:
    given = os.environ.get("TENANTS")
    mixes = {given: tuple(map(int, given.split(",")))} if given else MIXES
    figures = {}
    for name, counts in mixes.items():
        async with measured_stack(("postgres", "redis", "temporal", "gateway")) as stack:
            figures[name] = await measure(stack, counts)
        print(f"  {name}: {figures[name]}", flush=True)
    return {"tenants": figures}
