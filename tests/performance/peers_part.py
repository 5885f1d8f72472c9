"""(d) Peers, one after the other: dispatch at light load and at 70 % of capacity, throughput, processor time."""

from __future__ import annotations

import os
from typing import Any

import asyncpg

from tests.performance.arena import Arena, Figures, make_arena
from tests.performance.processes import SERVERS, WorkerProcess, cpu_of, server_pids
from tests.performance.stack import measured_stack
from tests.performance.systems import APPS, SYSTEMS, System
from tests.performance.table import percentiles

LIGHT_TASKS, LIGHT_RATE = 120, 5.0
BURST_NOOP, BURST_SLEEP = 1000, 400
LOADED_SECONDS, LOADED_SHARE = 6.0, 0.7
#: A system that does not get through a burst in this time (seconds) is measured by what it did.
PATIENCE = 60.0


def chosen() -> list[System]:
    """All systems, or those that `PEERS=a,b` names."""
    names = [name for name in os.environ.get("PEERS", "").split(",") if name] or list(SYSTEMS)
    return [SYSTEMS[name] for name in names]


async def measure(arena: Arena, system: System) -> Figures:
    """One system with one worker of 20 slots."""
    worker = await arena.start_worker(system)
    try:
        await arena.warm(system, system.name)
        light = await arena.send(system, f"light-{system.name}", LIGHT_TASKS, "noop", LIGHT_RATE)
        await arena.effects.wait("end", light, seconds=PATIENCE)
        figures: Figures = {"dispatch": _latency(arena, light)}
        if system.module == "gateway_app":
            figures["dispatch_accepted"] = await _since_accepted(arena, light)
        figures |= await _burst(arena, system, worker)
        asleep = await arena.send(system, f"sleep-{system.name}", BURST_SLEEP, "sleep")
        await arena.effects.wait("end", asleep, seconds=PATIENCE)
        figures["throughput_50ms_per_s"] = rate = _rate(arena, asleep)
        count = max(50, round(rate * LOADED_SHARE * LOADED_SECONDS))
        loaded = await arena.send(system, f"loaded-{system.name}", count, "sleep", rate * LOADED_SHARE)
        await arena.effects.wait("end", loaded, seconds=PATIENCE)
        figures["dispatch_loaded"] = _latency(arena, loaded)
        return figures
    except RuntimeError as error:
        return {"error": f"{error}\n{worker.log.read_text()[-1500:]}"}
    finally:
        await worker.end()


async def _burst(arena: Arena, system: System, worker: WorkerProcess) -> Figures:
    """1000 tasks at once: how many a second, and what a task costs."""
    servers = await server_pids(arena.stack)
    everything = {pid for pids in servers.values() for pid in pids}
    own = worker.pids
    before = cpu_of(own), cpu_of(everything)
    tasks = await arena.send(system, f"burst-{system.name}", BURST_NOOP, "noop")
    await arena.effects.wait("end", tasks, seconds=PATIENCE)
    # Connections that were opened meanwhile are processes of PostgreSQL of their own.
    everything |= {pid for pids in (await server_pids(arena.stack)).values() for pid in pids}
    done = sum(1 for task in tasks if arena.effects.times["end"][task])
    return {
        "throughput_per_s": _rate(arena, tasks),
        "cpu_ms_worker": round(1000 * (cpu_of(own | worker.pids) - before[0]) / done, 2),
        "cpu_ms_all": round(1000 * (cpu_of(own | worker.pids | everything) - sum(before)) / done, 2),
    }


def _latency(arena: Arena, tasks: list[str]) -> dict[str, float]:
    """From before a task is sent to the first line of its handler."""
    times = arena.effects
    taken = [times.first("start", task) - times.first("sent", task) for task in tasks if times.times["start"][task]]
    return percentiles(taken)


async def _since_accepted(arena: Arena, tasks: list[str]) -> dict[str, float]:
    """From the acceptance (the gateway's clock, before its commit), which leaves out the client's way by HTTP."""
    connection = await asyncpg.connect(arena.stack.database_url)
    rows = await connection.fetch(
        "SELECT payload->>'name' AS name, extract(epoch FROM created_at)::float8 AS at FROM task_logs"
        " WHERE payload->>'name' = ANY($1::text[])",
        tasks,
    )
    await connection.close()
    accepted = {row["name"]: row["at"] for row in rows}
    times = arena.effects
    return percentiles([times.first("start", task) - accepted[task] for task in tasks if times.times["start"][task]])


def _rate(arena: Arena, tasks: list[str]) -> float:
    times = arena.effects
    ends = [times.first("end", task) for task in tasks if times.times["end"][task]]
    return round(len(ends) / (max(ends) - min(times.first("sent", task) for task in tasks)), 1)


def versions() -> dict[str, str]:
    """The peers' versions, from their locks."""
    pinned: dict[str, str] = {}
    for lock in APPS.glob("*.lock"):
        pinned |= dict(line.split(" ")[0].split("==") for line in lock.read_text().splitlines() if "==" in line)
    return {name: pinned[name] for name, system in SYSTEMS.items() if system.lock}


async def run() -> dict[str, Any]:
    figures: dict[str, Any] = {}
    async with measured_stack(SERVERS) as stack:
        arena = await make_arena(stack, chosen())
        for system in chosen():
            figures[system.name] = {"store": system.store, **await measure(arena, system)}
            figures[system.name]["load"] = round(os.getloadavg()[0], 2)
            print(f"  {system.name}: {figures[system.name]}", flush=True)
    return {"peers": figures, "peer_versions": versions()}
