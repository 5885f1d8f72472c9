"""A seeded history of flips, submits, stops, retries and faults, and the checker's verdict on it.

`make chaos TASKS=500 FLIPS=20 FAULTS=10 SEED=7 [MUTATE=fence] [ONLY=kill_worker,…]`. The last line is one JSON object;
the exit code is 1 when a rule was violated.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from checker import AttemptRow, Effect, History, Violation, check
from clients import Clients
from deploy.local import taskgate
from faults import FAULTS
from world import TENANTS, World

STAGES = ("off", "live", "complete", "live")
SETTLE_SECONDS = 120.0
AT_ONCE = 12


def number(name: str, default: int) -> int:
    return int(os.environ.get(name) or default)


async def flip(world: World, chance: random.Random, count: int, over: asyncio.Event) -> int:
    """Move tenants between stages until `count` flips are done."""
    done = 0
    while done < count:
        tenant, stage = chance.choice(TENANTS), chance.choice(STAGES)
        await taskgate.run(
            *("flags", "set", "--tenant", tenant, "--stage", stage, "--by", "chaos", "--why", "fault suite"),
            environment=world.environment(),
        )
        done += 1
        if not over.is_set():
            await asyncio.sleep(chance.uniform(0, 0.5))
    return done


async def strike(world: World, chance: random.Random, count: int, timeline: list[str], began: float) -> int:
    """One fault after another, each kind before any comes again."""
    only = os.environ.get("ONLY", "")
    kinds = only.split(",") if only else list(FAULTS)
    struck: list[str] = []
    deck: list[str] = []
    while len(struck) < count:
        deck = deck or chance.sample(kinds, len(kinds))
        name = deck.pop()
        timeline.append(f"{time.monotonic() - began:8.2f} s  {name}")
        print(timeline[-1], flush=True)
        await FAULTS[name](world, chance)
        struck.append(name)
        await asyncio.sleep(chance.uniform(0.2, 1.0))
    return len(struck)


async def submit_all(clients: Clients, tasks: int) -> None:
    waiting = list(range(tasks))

    async def client() -> None:
        while waiting:
            await clients.submit_and_meddle(waiting.pop())
            if len(waiting) % 50 == 0:
                await clients.retry_some_failed()

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))


async def settle(world: World) -> None:
    """Wait until every task is over, or until patience is."""
    database = await world.database()
    deadline = time.monotonic() + SETTLE_SECONDS
    try:
        while time.monotonic() < deadline:
            open_tasks = await database.fetchval(
                "SELECT count(*) FROM taskgate.dispatch WHERE state NOT IN ('completed', 'failed', 'stopped')"
            )
            if not open_tasks:
                return
            await asyncio.sleep(0.3)
    finally:
        await database.close()


async def history_of(world: World, clients: Clients) -> History:
    for task_id in clients.tasks:
        clients.tasks[task_id].shown = await clients.final_status(task_id)
    database = await world.database()
    statuses = {row["id"]: row["status"] for row in await database.fetch("SELECT id, status FROM task_logs")}
    attempts: dict[str, list[AttemptRow]] = {}
    for row in await database.fetch("SELECT task_id, attempt, outcome FROM taskgate.attempt ORDER BY attempt"):
        attempts.setdefault(row["task_id"], []).append(AttemptRow(row["attempt"], row["outcome"]))
    await database.close()
    effects = [Effect(**json.loads(line)) for line in world.effects.read_text().splitlines()]
    return History(clients.tasks, effects, statuses, attempts, world.kills)


async def explain(world: World, violations: list[Violation], history: History) -> None:
    """What is known of the first offenders."""
    database = await world.database()
    for violation in violations[:10]:
        print(f"\n{violation.rule}: task {violation.task}: {violation.detail}")
        for table, key in (("task_logs", "id"), ("taskgate.dispatch", "task_id"), ("taskgate.attempt", "task_id")):
            for row in await database.fetch(f"SELECT * FROM {table} WHERE {key} = $1", violation.task):
                shown = {name: str(value) for name, value in row.items() if value is not None and name != "payload"}
                print(f"  {table}: {shown}")
        for effect in history.effects:
            if effect.task == violation.task:
                print(f"  {effect.at:.3f} {effect.event} in process {effect.pid} (run {effect.run[:8]})")
        print(f"  clients: {asdict(history.tasks[violation.task]) if violation.task in history.tasks else None}")
    await database.close()


async def main() -> int:
    seed, tasks = number("SEED", 7), number("TASKS", 500)
    flips, faults = number("FLIPS", 20), number("FAULTS", 10)
    mutate = os.environ.get("MUTATE", "")
    if mutate not in ("", "fence"):
        sys.exit(f"chaos: no mutation {mutate!r}; there is: fence")
    chance = random.Random(seed)
    timeline: list[str] = []
    with tempfile.TemporaryDirectory(prefix="taskgate-chaos-") as directory:
        keep = os.environ.get("CHAOS_DIR")
        place = Path(keep) if keep else Path(directory)
        place.mkdir(parents=True, exist_ok=True)
        world = World(place, fenced=mutate != "fence", temporal_servers=number("TEMPORAL_SERVERS", 1))
        began = time.monotonic()
        try:
            await world.start()
            began = time.monotonic()
            clients = Clients(world, random.Random(chance.random()))
            over = asyncio.Event()
            submitting = asyncio.create_task(submit_all(clients, tasks))
            striking = asyncio.create_task(strike(world, random.Random(chance.random()), faults, timeline, began))
            flipping = asyncio.create_task(flip(world, random.Random(chance.random()), flips, over))
            await submitting
            over.set()
            done_flips, done_faults = await asyncio.gather(flipping, striking)
            await settle(world)
            history = await history_of(world, clients)
            violations = check(history)
            if violations:
                print(f"seed {seed}; faults:", *timeline, sep="\n")
                await explain(world, violations, history)
            await clients.close()
        finally:
            await world.stop()
    summary: dict[str, Any] = {
        "tasks": len(clients.tasks),
        "flips": done_flips,
        "faults": done_faults,
        "violations": len(violations),
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(summary))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
