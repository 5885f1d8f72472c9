"""(e) The same with a million waiting tasks as with none: submits, dispatch, batches, lists, counts and `why`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx

from gateway.storage.queries import Queries
from tests.performance.dispatch import through_gateway
from tests.performance.stack import client, measured_stack
from tests.performance.table import percentiles

SQL = Queries("tests.performance", "scale.sql")

FEW, MANY = 10_000, 1_000_000
BATCH = 10_000
SUBMITS, DISPATCHES, READS = 150, 60, 20
#: Seconds between two reads: what is remembered for a moment is counted anew meanwhile.
PAUSE = 0.05

LATER = {"type": "bench_noop", "payload": {"n": 1}, "delay_seconds": 30 * 86400}
LISTS = {
    "list": "/gateway/v1/tasks",
    "list state": "/gateway/v1/tasks?state=waiting",
    "list type": "/gateway/v1/tasks?type=bench_noop",
    "list label": "/gateway/v1/tasks?label=run:7",
    "list old": "/api/v1/tasks/",
    "recent": "/api/v1/tasks/recent?status=Pending",
    "why": "/gateway/v1/tasks/scale-000000007/why",
}
COUNTS = {
    "stats": "/api/v1/tasks/stats",
    "depth": "/api/v1/tasks/queue-depth",
    "breakdown": "/api/v1/tasks/status-breakdown",
}

Samples = dict[str, list[float]]


async def timed(step: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await step()
    return time.perf_counter() - began


async def call(http: httpx.AsyncClient, method: str, path: str, **body: Any) -> Any:
    answer = await http.request(method, path, **body)
    answer.raise_for_status()
    return answer.json()


async def writes(live: httpx.AsyncClient, off: httpx.AsyncClient, database: asyncpg.Connection) -> Samples:
    """Submits, and dispatch on both backends, in turns."""
    samples: Samples = {"submit": [], "dispatch temporal": [], "dispatch redis": []}
    for _ in range(10):
        await through_gateway_both(live, off, database, samples, keep=False)
    for index in range(SUBMITS):
        samples["submit"].append(await timed(lambda: call(live, "POST", "/gateway/v1/tasks", json=LATER)))
        if index < DISPATCHES:
            await through_gateway_both(live, off, database, samples)
    return samples


async def through_gateway_both(
    live: httpx.AsyncClient,
    off: httpx.AsyncClient,
    database: asyncpg.Connection,
    samples: Samples,
    *,
    keep: bool = True,
) -> None:
    for name, http in (("dispatch temporal", live), ("dispatch redis", off)):
        taken = await through_gateway(http, database)
        if keep:
            samples[name].append(taken)


async def reads(http: httpx.AsyncClient, paths: dict[str, str]) -> Samples:
    samples: Samples = {name: [] for name in paths}
    for turn in range(READS + 1):
        for name, path in paths.items():
            taken = await timed(lambda path=path: call(http, "GET", path))  # type: ignore[misc]
            if turn:
                samples[name].append(taken)
            else:
                samples[f"{name} cold"] = [taken]
        await asyncio.sleep(PAUSE)
    return samples


def figures(before: Samples, after: Samples) -> dict[str, Any]:
    """P50 before and after, and their ratio; P95 after."""
    rows: dict[str, Any] = {}
    for name, values in before.items():
        if len(values) == 1:
            rows[name] = {"few_ms": round(values[0] * 1000, 2), "many_ms": round(after[name][0] * 1000, 2)}
            continue
        few, many = percentiles(values), percentiles(after[name])
        rows[name] = {
            "few_ms": few["p50_ms"],
            "many_ms": many["p50_ms"],
            "ratio": round(many["p50_ms"] / few["p50_ms"], 2),
            "few_p95": few["p95_ms"],
            "many_p95": many["p95_ms"],
        }
    return rows


async def run() -> dict[str, Any]:
    async with measured_stack() as stack:
        tenant = "umbrella"
        database = await asyncpg.connect(stack.database_url, command_timeout=300)

        async def fill(count: int, start: int) -> float:
            taken = await timed(lambda: database.execute(SQL.fill, tenant, count, start))
            await database.execute("VACUUM ANALYZE taskgate.dispatch")  # as autovacuum does within a minute
            await database.execute("VACUUM ANALYZE task_logs")
            return taken

        async with client(stack, "umbrella") as live, client(stack, "initech") as off:
            empty = await writes(live, off, database)
            await fill(FEW, 0)
            few = await reads(live, LISTS) | await reads(live, COUNTS)
            filled = await fill(MANY - FEW, FEW)
            many = await reads(live, LISTS) | await reads(live, COUNTS)
            full = await writes(live, off, database)
            batches = [
                await timed(lambda: call(live, "POST", "/gateway/v1/tasks/batch", json={"tasks": [LATER] * BATCH}))
                for _ in range(3)
            ]
        await database.close()
    rows = figures(empty, full) | figures(few, many)
    rows["batch"] = {"tasks": BATCH, "seconds": round(sorted(batches)[1], 2), "slowest": round(max(batches), 2)}
    rows["fill"] = {"tasks": MANY, "seconds": round(filled, 1)}
    return {"scale": rows}
