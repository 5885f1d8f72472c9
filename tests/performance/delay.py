"""(e) How late what has a time is: delayed tasks on both backends; schedules, with Temporal's own beside them.

Due times are spread evenly, at a rate that the workers of two shared cores can keep up with, while a client submits
tasks that are due at once. Late is: handed to the backend after its time, and begun (the handler's first line).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)

from deploy.local.stack import EmbeddedStack
from tests.performance.stack import client, measured_stack
from tests.performance.table import percentiles

#: Delayed tasks of each tenant, and the seconds over which they become due.
TASKS = {"umbrella": 160, "initech": 520, "globex": 520}
SPREAD = 16.0
#: Before the first becomes due: all have to be accepted by then.
LEAD = 3.0
#: Between two tasks that are due at once, beside the delayed ones.
PAUSE = 0.25

SCHEDULES = 40
INTERVAL = 2
SCHEDULE_SECONDS = 6.2

_LATE = """
SELECT d.tenant_id, extract(epoch FROM LEAST(d.queued_at, d.claimed_at) - d.not_before)::float8 AS handed,
       (t.result->>'began')::float8 - extract(epoch FROM d.not_before)::float8 AS begun
FROM taskgate.dispatch d JOIN task_logs t ON t.id = d.task_id
WHERE d.not_before IS NOT NULL AND t.status = 'COMPLETED'
"""
_FIRED = """
SELECT extract(epoch FROM d.created_at - f.nominal_at)::float8 AS accepted
FROM taskgate.firing f JOIN taskgate.dispatch d ON d.task_id = f.task_id
"""


async def submit_delayed(http: httpx.AsyncClient, tenant: str, count: int, begin: datetime) -> None:
    tasks = [
        {
            "type": "bench_noop",
            # Tasks of one group run one after the other on Redis: two groups of each tenant.
            "project_id": f"{tenant}-project" if number % 2 else None,
            "run_at": (begin + timedelta(seconds=SPREAD * number / count)).isoformat(),
        }
        for number in range(count)
    ]
    (await http.post("/gateway/v1/tasks/batch", json={"tasks": tasks})).raise_for_status()


async def submit_beside(http: httpx.AsyncClient, until: float) -> None:
    while time.time() < until:
        (await http.post("/gateway/v1/tasks", json={"type": "bench_noop", "payload": {}})).raise_for_status()
        await asyncio.sleep(PAUSE)


async def delayed(stack: EmbeddedStack, database: asyncpg.Connection) -> dict[str, Any]:
    begin = datetime.now(UTC) + timedelta(seconds=LEAD)
    async with contextlib.AsyncExitStack() as opened:
        clients = {name: await opened.enter_async_context(client(stack, name)) for name in TASKS}
        await asyncio.gather(*(submit_delayed(clients[name], name, count, begin) for name, count in TASKS.items()))
        if datetime.now(UTC) > begin:
            raise RuntimeError("the delayed tasks were not accepted in time; raise LEAD")
        end = begin.timestamp() + SPREAD
        await asyncio.gather(*(submit_beside(http, end) for http in clients.values()))
        async with asyncio.timeout(60):
            while len(rows := await database.fetch(_LATE)) < sum(TASKS.values()):
                await asyncio.sleep(0.2)
    backends = {"temporal": ("umbrella",), "redis": ("initech", "globex")}
    return {
        f"{backend} {what}": percentiles([row[what] for row in rows if row["tenant_id"] in tenants])
        for backend, tenants in backends.items()
        for what in ("handed", "begun")
    }


async def scheduled(stack: EmbeddedStack, database: asyncpg.Connection) -> dict[str, Any]:
    body = {"name": "bench", "specs": [{"every_seconds": INTERVAL}], "action": {"type": "bench_noop"}}
    async with client(stack, "umbrella") as http:
        for _ in range(SCHEDULES):
            answer = await http.post("/gateway/v1/schedules", json={**body, "overlap": "allow_all"})
            answer.raise_for_status()
        await asyncio.sleep(SCHEDULE_SECONDS)
        for one in (await http.get("/gateway/v1/schedules")).json()["schedules"]:
            (await http.post(f"/gateway/v1/schedules/{one['schedule_id']}/pause")).raise_for_status()
    return {"schedule": percentiles([row["accepted"] for row in await database.fetch(_FIRED)])}


async def scheduled_by_temporal(stack: EmbeddedStack) -> dict[str, Any]:
    """The same intervals as schedules of Temporal's own, each starting a workflow that nobody runs."""
    temporal = await Client.connect(stack.temporal_address, namespace=stack.temporal_namespace)
    queue = f"bench-{uuid.uuid4()}"
    policy = SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL)  # nobody runs what they start
    handles = []
    for number in range(SCHEDULES):
        action = ScheduleActionStartWorkflow("bench", id=f"{queue}-{number}", task_queue=queue)
        spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(seconds=INTERVAL))])
        handles.append(
            await temporal.create_schedule(f"{queue}-{number}", Schedule(action=action, spec=spec, policy=policy))
        )
    await asyncio.sleep(SCHEDULE_SECONDS)
    late = []
    for handle in handles:
        for started in (await handle.describe()).info.recent_actions:
            late.append((started.started_at - started.scheduled_at).total_seconds())
        await handle.delete()
    return {"temporal's schedule": percentiles(late)}


async def run() -> dict[str, Any]:
    async with measured_stack() as stack:
        database = await asyncpg.connect(stack.database_url)
        figures = await delayed(stack, database)
        for clocks in await asyncio.gather(scheduled(stack, database), scheduled_by_temporal(stack)):
            figures |= clocks
        await database.close()
    return {"delay": figures}
