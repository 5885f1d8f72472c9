"""(f) 10,000 tasks open at once on Temporal: through the gateway, and by the bare SDK, each on a stack of its own.

The machine's own speed changes within minutes, so throughput is compared in pairs of shorter runs, in turns:
`OPEN_PAIRS` pairs of `OPEN_PAIR_TASKS` tasks each. `OPEN_ALL=1` runs 10,000 by the SDK, too.

The bare SDK runs them as standalone activities, as the gateway does. `sdk_rows` also keeps a row of `task_logs` for
each, and `sdk_same` starts them with the gateway's search attributes, priority and fairness key, too: that is the same
work. `BARE=sdk,sdk_rows,sdk_workflows` compares with less: `sdk` only runs them, `sdk_workflows` runs each as a
workflow of one activity.

All tasks are started before the first worker is, so that all are open at once; then one worker of 100 slots runs them.
`OPEN_TASKS=500` makes it shorter. Each task leaves a line in a file: that is what "exactly once" is counted by.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import asyncpg
import httpx

from tests.performance.arena import Arena, Figures, make_arena
from tests.performance.processes import SERVERS, WorkerProcess, cpu_of, resident_mb, server_pids, tree
from tests.performance.stack import measured_stack
from tests.performance.systems import SYSTEMS, System

TASKS = int(os.environ.get("OPEN_TASKS", "10000"))
PAIRS = int(os.environ.get("OPEN_PAIRS", "4"))
PAIR_TASKS = int(os.environ.get("OPEN_PAIR_TASKS", "2500"))
BATCH = 1000
SLOTS = 100
#: Running all of them takes no longer than this (seconds).
PATIENCE = 900.0
RATES = ("per_s", "starts_per_s", "runs_per_s")


class Watch:
    """Memory and processor time of processes, while something goes on."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self.worker: set[int] = set()
        self.peak_mb: dict[str, float] = {}
        self._cpu: dict[str, dict[int, float]] = {}
        self._before: dict[int, float] = {}
        self._over = asyncio.Event()
        self._task = asyncio.create_task(self._look_on())

    async def _look_on(self) -> None:
        """Every two seconds, and once more at the end."""
        is_last = False
        while not is_last:
            is_last = self._over.is_set()
            parts = await server_pids(self._arena.stack)
            if self.worker:
                parts["worker"] = {pid for known in self.worker for pid in tree(known)}
            for name, pids in parts.items():
                memory = sum(resident_mb(pid) for pid in pids)
                self.peak_mb[name] = max(self.peak_mb.get(name, 0.0), round(memory, 1))
                self._cpu.setdefault(name, {}).update({pid: cpu_of({pid}) or 0.0 for pid in pids})
            self._before = self._before or {pid: spent for found in self._cpu.values() for pid, spent in found.items()}
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), 0.0 if is_last else 2.0)

    def cpu_ms(self, tasks: int) -> dict[str, float]:
        """Processor time of each part per task, since the watch began."""
        return {
            name: round(1000 * sum(spent - self._before.get(pid, 0.0) for pid, spent in found.items()) / tasks, 2)
            for name, found in self._cpu.items()
        }

    async def close(self) -> None:
        self._over.set()
        await self._task


async def by_gateway(arena: Arena, system: System, count: int) -> float:
    """Submit all tasks in batches; return once Temporal holds all of them, with the time when this began."""
    environment = await arena.environment(system, "")
    headers = {"Authorization": f"Bearer {environment['BENCH_KEY']}"}
    began = time.time()
    async with httpx.AsyncClient(base_url=environment["TASKGATE_URL"], headers=headers, timeout=300) as http:
        for first in range(0, count, BATCH):
            numbers = range(first, min(first + BATCH, count))
            tasks = [{"type": "bench", "payload": {"name": f"open-{n}", "kind": "noop"}} for n in numbers]
            answer = await http.post("/gateway/v1/tasks/batch", content=json.dumps({"tasks": tasks}))
            answer.raise_for_status()
    await _counted(arena, QUEUED, count)
    return began


async def by_sdk(arena: Arena, system: System, count: int) -> float:
    """Start all tasks, 64 at a time as the gateway does; when the first was sent."""
    tasks = await arena.send(system, "open", count, "noop")
    arena.effects.read()
    return min(arena.effects.first("sent", task) for task in tasks)


async def measure(system: System, count: int) -> Figures:
    """Start all, then run all."""
    is_gateway = system.module == "gateway_app"
    start = by_gateway if is_gateway else by_sdk
    async with measured_stack(SERVERS) as stack:
        arena = await make_arena(stack, [system])
        if is_gateway:  # the gateway learns of the plug-in type from a worker
            first = await arena.start_worker(system)
            await arena.warm(system, system.name)
            await first.end()
        watch = Watch(arena)
        worker: WorkerProcess | None = None
        try:
            began = await start(arena, system, count)
            started = time.time()
            worker = await arena.start_worker(system)
            watch.worker = {worker.process.pid}
            tasks = [f"open-{number}" for number in range(count)]
            if not await arena.effects.wait("end", tasks, seconds=PATIENCE):
                raise RuntimeError(f"{system.name}: not all tasks ran\n{worker.log.read_text()[-1500:]}")
            first_start = min(arena.effects.first("start", task) for task in tasks)
            ended = max(arena.effects.first("end", task) for task in tasks)
            figures: Figures = {
                "tasks": count,
                "starts_per_s": round(count / (started - began), 1),
                "runs_per_s": round(count / (ended - first_start), 1),
                "per_s": round(count / ((started - began) + (ended - first_start)), 1),
                "ran_once": sum(1 for task in tasks if len(arena.effects.times["start"][task]) == 1),
                "load": round(os.getloadavg()[0], 2),
            }
            if is_gateway:
                figures["completed"] = await _counted(arena, COMPLETED, count)
            elif system.environment["BENCH_SDK"] in ("rows", "same"):
                figures["completed"] = await _counted(arena, COMPLETED_ROWS, count)
            await watch.close()
            return figures | {"peak_mb": watch.peak_mb, "cpu_ms": watch.cpu_ms(count)}
        finally:
            await watch.close()
            if worker is not None:
                await worker.end()


QUEUED = "SELECT count(*) FROM taskgate.dispatch WHERE state = 'queued' AND task_type = 'bench'"
COMPLETED = """
SELECT count(*) FROM task_logs t JOIN taskgate.dispatch d ON d.task_id = t.id
WHERE t.status = 'COMPLETED' AND d.state = 'completed' AND d.attempt = 1 AND t.payload->>'name' LIKE 'open-%'
"""
COMPLETED_ROWS = "SELECT count(*) FROM task_logs WHERE status = 'COMPLETED' AND id LIKE 'open-%'"


async def _counted(arena: Arena, query: str, all_of_them: int) -> int:
    """What the query counts once it is all of them; what it counts after a minute without any more."""
    connection = await asyncpg.connect(arena.stack.database_url)
    try:
        count, since = -1, time.monotonic()
        while count < all_of_them and time.monotonic() - since < 60:
            before, count = count, await connection.fetchval(query)
            if count != before:
                since = time.monotonic()
            await asyncio.sleep(0.2)
        return count
    finally:
        await connection.close()


async def run() -> dict[str, Any]:
    os.environ["BENCH_SENDERS"] = "64"
    os.environ["TASKGATE_WORKER_SLOTS"] = os.environ["BENCH_SLOTS"] = str(SLOTS)
    figures: dict[str, Any] = {}
    for name in ["temporal", *(chosen() if os.environ.get("OPEN_ALL") else [])] if TASKS else []:
        figures[name] = await measure(_system(name), TASKS)
        print(f"  {name}: {figures[name]}", flush=True)
    for name in chosen():
        ratios = []
        for number in range(PAIRS):
            pair = {}
            for one in ("temporal", name) if number % 2 == 0 else (name, "temporal"):
                pair[one] = await measure(_system(one), PAIR_TASKS)
            ratios.append({key: round(pair["temporal"][key] / pair[name][key], 3) for key in RATES})
            print(f"  {pair}\n  {name}: {ratios[-1]}", flush=True)
        if ratios:
            figures[f"ratio_{name}"] = {
                "pairs": PAIRS,
                "tasks": PAIR_TASKS,
                **{key: round(statistics.median(one[key] for one in ratios), 3) for key in RATES},
                "least": min(one["per_s"] for one in ratios),
                "most": max(one["per_s"] for one in ratios),
            }
    return {"open": figures}


def _system(name: str) -> System:
    if name == "temporal":
        return SYSTEMS[name]
    return replace(SYSTEMS["sdk"], name=name, environment={"BENCH_SDK": name.partition("_")[2]})


def chosen() -> list[str]:
    """What to compare with."""
    return [name for name in os.environ.get("BARE", "").split(",") if name] or ["sdk_same"]
