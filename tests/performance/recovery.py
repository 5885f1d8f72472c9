"""(e) SIGKILL of the only busy worker beside a second, idle one: from the kill to the next start of its task.

This gateway's workers are killed alternately as one process and with everything on their host (supervisor included).
The legacy loop is measured in its favour: the task says that it is old enough to be taken back at once, and the lock
that the dead worker left on its group, which nobody removes for an hour, is removed. Peers get `CAP_SECONDS`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis

from tests.performance.arena import Arena, make_arena
from tests.performance.peers_part import chosen
from tests.performance.processes import SERVERS, WorkerProcess
from tests.performance.stack import measured_stack
from tests.performance.systems import SYSTEMS, System
from tests.performance.table import percentiles

ROUNDS = int(os.environ.get("ROUNDS", "20"))
CAP_SECONDS = 100.0
#: Legacy pairs, and seconds between their starts: the pause of their loop is spread evenly over the kills.
LEGACY_PAIRS, LEGACY_STAGGER = 5, 12.0


async def own_rounds(arena: Arena, system: System) -> list[float]:
    """Seconds per kill, of this gateway's workers."""
    workers = [await arena.start_worker(system), await arena.start_worker(system)]
    taken = []
    try:
        await arena.warm(system, f"recovery-{system.name}")
        async with asyncpg.create_pool(arena.stack.database_url, min_size=1, max_size=1) as database:
            logs = [worker.log for worker in workers]
            for number in range(ROUNDS):
                await _two_ready(database, system.name, logs, beginnings=2 + number)
                (task,) = await arena.send(system, f"lost-{system.name}{number}", 1, "once")
                busy = await _busy(arena, task, workers)
                killed = time.time()
                if number % 2:
                    await busy.kill()
                else:
                    os.kill(arena.effects.times["start"][task][0][1], signal.SIGKILL)
                if not await arena.effects.wait("start", [task], runs=2, seconds=CAP_SECONDS):
                    raise RuntimeError(f"{system.name}: a task was lost with its worker")
                taken.append(arena.effects.times["start"][task][1][0] - killed)
                if number % 2:
                    workers.remove(busy)
                    workers.append(await arena.start_worker(system))
                    logs.append(workers[-1].log)
    finally:
        for worker in workers:
            await worker.end()
    return taken


async def one_kill(arena: Arena, system: System, space: str = "", start_at: float = 0.0) -> float | None:
    """Seconds, None when the task does not come back in `CAP_SECONDS`."""
    await asyncio.sleep(start_at)
    workers = [await arena.start_worker(system, space), await arena.start_worker(system, space)]
    try:
        await arena.warm(system, f"recovery-{system.name}{space}", space)
        # The loops of the legacy workers have run for a while by then, each pair's for another time.
        await asyncio.sleep(LEGACY_PAIRS * LEGACY_STAGGER - start_at if system.name == "legacy" else 5.0)
        (task,) = await arena.send(system, f"lost-{system.name}{space}", 1, "once", space=space)
        busy = await _busy(arena, task, workers)
        killed = time.time()
        await busy.kill()
        if system.name == "legacy":
            await _remove_locks(await arena.environment(system, space))
        if not await arena.effects.wait("start", [task], runs=2, seconds=CAP_SECONDS):
            return None
        return arena.effects.times["start"][task][1][0] - killed
    finally:
        for worker in workers:
            await worker.end()


async def _two_ready(database: asyncpg.Pool, backend: str, logs: list[Path], *, beginnings: int) -> None:
    """Return when two workers hold leases and poll, which each process says once in its log."""
    alive = "SELECT count(*) FROM taskgate.process WHERE kind = 'worker' AND backend = $1 AND lost_at IS NULL"
    async with asyncio.timeout(60):
        while (
            sum(log.read_text().count(" is ready") for log in logs) < beginnings
            or await database.fetchval(alive, backend) < 2
        ):
            await asyncio.sleep(0.05)


async def _busy(arena: Arena, task: str, workers: list[WorkerProcess]) -> WorkerProcess:
    if not await arena.effects.wait("start", [task], seconds=60):
        raise RuntimeError(f"{task} did not start")
    pid = arena.effects.times["start"][task][0][1]
    return next(worker for worker in workers if pid in worker.pids)


async def _remove_locks(environment: dict[str, str]) -> None:
    async with Redis.from_url(environment["BENCH_REDIS"]) as redis:
        async for key in redis.scan_iter("lock:queue:group:*"):
            await redis.delete(key)


def _figures(system: System, taken: list[float | None]) -> dict[str, Any]:
    """Runs beyond the cap count as the cap, and say so."""
    values = [CAP_SECONDS if seconds is None else seconds for seconds in taken]
    figures: dict[str, Any] = percentiles(values if len(values) > 1 else values * 2) | {"n": len(values)}
    if None in taken:
        figures["capped"] = taken.count(None)
    if system.recovery:
        figures["documented"] = system.recovery
    return figures


async def _one_kill_each(arena: Arena, systems: list[System]) -> dict[str, Any]:
    runs: dict[str, list[asyncio.Task[float | None]]] = {}
    for system in systems:
        spaces = [f"_{n + 1}" for n in range(LEGACY_PAIRS)] if system.name == "legacy" else [""]
        runs[system.name] = [
            asyncio.create_task(one_kill(arena, system, space, number * LEGACY_STAGGER if space else 2.0 * len(runs)))
            for number, space in enumerate(spaces)
        ]
    figures: dict[str, Any] = {}
    for name, tasks in runs.items():
        taken = await asyncio.gather(*tasks, return_exceptions=True)
        measured = [one for one in taken if not isinstance(one, BaseException)]
        figures[name] = _figures(SYSTEMS[name], measured) if measured else {}
        if failed := [f"{type(one).__name__}: {one}" for one in taken if isinstance(one, BaseException)]:
            figures[name]["error"] = "; ".join(failed)
        print(f"  {name}: {figures[name]}", flush=True)
    return figures


async def run() -> dict[str, Any]:
    figures: dict[str, Any] = {}
    async with measured_stack(SERVERS) as stack:
        systems = chosen()
        arena = await make_arena(stack, systems)
        for system in (one for one in systems if one.module == "gateway_app"):
            try:
                figures[system.name] = _figures(system, list(await own_rounds(arena, system)))
            except (RuntimeError, TimeoutError) as error:
                figures[system.name] = {"error": f"{type(error).__name__}: {error}"}
            print(f"  {system.name}: {figures[system.name]}", flush=True)
        # The others mostly wait: the legacy pairs beside each other, then all peers.
        others = [one for one in systems if one.module != "gateway_app"]
        for together in (
            [one for one in others if one.name == "legacy"],
            [one for one in others if one.name != "legacy"],
        ):
            figures |= await _one_kill_each(arena, together)
    slowest = [figures[name]["p95_ms"] for name in ("temporal", "redis") if "p95_ms" in figures.get(name, {})]
    if slowest and "p50_ms" in figures.get("legacy", {}):
        print(f"  legacy P50 / slowest own P95: {figures['legacy']['p50_ms'] / max(slowest):.0f}")
    return {"recovery": figures, "recovery_load": {"average": round(os.getloadavg()[0], 2)}}
