"""(d) Runs of DAGs: many nodes at once beside as many plain tasks, a chain beside single tasks, and a large run."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from typing import Any

import asyncpg
import httpx
from temporalio.client import Client

from deploy.local.stack import EmbeddedStack
from tests.performance.stack import client, measured_stack

PARALLEL = int(os.environ.get("BENCH_DAG_PARALLEL", "1000"))
CHAIN = 10
CHAINS = int(os.environ.get("BENCH_DAG_CHAINS", "10"))
LARGE = int(os.environ.get("BENCH_DAG_LARGE", "5000"))
ROUNDS = int(os.environ.get("BENCH_DAG_ROUNDS", "2"))
TENANT = "umbrella"

_OVER = "SELECT count(*) FROM taskgate.dispatch WHERE task_id = ANY ($1::text[]) AND state = 'completed'"
#: From the end of a node to the first line of the one that needs it; and for the first, from the acceptance of the run.
_GAPS = """
SELECT extract(epoch FROM n.claimed_at - COALESCE(before.finished_at, r.created_at))::float8 AS gap
FROM taskgate.dag_node d
JOIN taskgate.dispatch n ON n.task_id = d.task_id
JOIN taskgate.dispatch r ON r.task_id = d.run_id
LEFT JOIN taskgate.dag_node p ON p.run_id = d.run_id AND p.path = 'n' || (substr(d.path, 2)::int - 1)
LEFT JOIN taskgate.dispatch before ON before.task_id = p.task_id
WHERE d.run_id = $1 AND d.path <> 'n0'
"""
_PLAIN = "SELECT extract(epoch FROM claimed_at - created_at)::float8 FROM taskgate.dispatch WHERE task_id = $1"


async def plain(http: httpx.AsyncClient, database: asyncpg.Connection, count: int) -> float:
    """Tasks per second of so many plain tasks in one batch, from its acceptance to the last end."""
    began = time.monotonic()
    answer = await http.post(
        "/gateway/v1/tasks/batch", json={"tasks": [{"type": "bench_noop", "payload": {}} for _ in range(count)]}
    )
    answer.raise_for_status()
    ids = [task["task_id"] for task in answer.json()["tasks"]]
    while await database.fetchval(_OVER, ids) < count:
        await asyncio.sleep(0.05)
    return count / (time.monotonic() - began)


async def run_of(http: httpx.AsyncClient, database: asyncpg.Connection, name: str, **params: Any) -> tuple[str, float]:
    """A run, and its seconds from its acceptance to its end."""
    began = time.monotonic()
    answer = await http.post("/gateway/v1/dag-runs", json={"dag": name, "params": params})
    answer.raise_for_status()
    run_id = answer.json()["run_id"]
    while True:
        state = await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = $1", run_id)
        if state in ("completed", "failed", "stopped"):
            assert state == "completed", f"run {run_id} is {state}"
            return run_id, time.monotonic() - began
        await asyncio.sleep(0.02)


async def apply(http: httpx.AsyncClient, name: str, document: dict[str, Any]) -> None:
    answer = await http.put(f"/gateway/v1/dags/{name}", json=document, params={"any_types": True})
    answer.raise_for_status()


async def chain_gap(http: httpx.AsyncClient, database: asyncpg.Connection) -> tuple[list[float], list[float]]:
    """Seconds from node to node of chains, and of single tasks from acceptance to claim, in turns."""
    gaps: list[float] = []
    single: list[float] = []
    for _ in range(CHAINS):
        run_id, _ = await run_of(http, database, "bench-chain")
        gaps += [row["gap"] for row in await database.fetch(_GAPS, run_id)]
        for _ in range(CHAIN):
            answer = await http.post("/gateway/v1/tasks", json={"type": "bench_noop", "payload": {}})
            task_id = answer.json()["task_id"]
            while await database.fetchval(_OVER, [task_id]) < 1:
                await asyncio.sleep(0.005)
            single.append(await database.fetchval(_PLAIN, task_id))
    return gaps, single


async def history_of(stack: EmbeddedStack, run_id: str) -> dict[str, int]:
    """Events and bytes of the histories of a run: the longest, and how many there are."""
    temporal = await Client.connect(stack.temporal_address, namespace=stack.temporal_namespace)
    lengths, sizes = [], []
    next_id: str | None = None
    while True:
        description = await temporal.get_workflow_handle(f"task-{run_id}", run_id=next_id).describe()
        lengths.append(description.history_length)
        sizes.append(description.raw_description.workflow_execution_info.history_size_bytes)
        history = await temporal.get_workflow_handle(f"task-{run_id}", run_id=description.run_id).fetch_history()
        next_id = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not next_id:
            return {"histories": len(lengths), "longest_events": max(lengths), "largest_bytes": max(sizes)}


async def run() -> dict[str, Any]:
    noop = {"type": "bench_noop"}
    async with measured_stack(("postgres", "temporal", "gateway", "worker-temporal")) as stack:
        database = await asyncpg.connect(stack.database_url)
        async with client(stack, TENANT) as http:
            wide = {"params": {"items": {"type": "list"}}, "nodes": {"each": {**noop, "for_each": "params.items"}}}
            await apply(http, "bench-wide", wide)
            chain = {f"n{i}": {**noop, "needs": [f"n{i - 1}"] if i else []} for i in range(CHAIN)}
            await apply(http, "bench-chain", {"nodes": chain})
            await plain(http, database, 50)
            await run_of(http, database, "bench-chain")
            ratios = []
            for _ in range(ROUNDS):
                tasks = await plain(http, database, PARALLEL)
                _, seconds = await run_of(http, database, "bench-wide", items=list(range(PARALLEL)))
                ratios.append({"plain": tasks, "nodes": PARALLEL / seconds, "ratio": PARALLEL / seconds / tasks})
            gaps, single = await chain_gap(http, database)
            run_id, seconds = await run_of(http, database, "bench-wide", items=list(range(LARGE)))
            large = {"nodes": LARGE, "seconds": seconds, **await history_of(stack, run_id)}
        await database.close()
    gap, alone = statistics.median(gaps), statistics.median(single)
    return {
        "dags": {
            "parallel": ratios,
            "parallel_ratio": statistics.median(one["ratio"] for one in ratios),
            "chain": {"gap_ms": gap * 1000, "plain_dispatch_ms": alone * 1000, "ratio": gap / alone},
            "large": large,
        }
    }
