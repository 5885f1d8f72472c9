"""A seeded history of flips, submits, stops, retries and faults, and the checker's verdict on it.

`make chaos TASKS=500 FLIPS=20 FAULTS=10 SEED=7 [MUTATE=fence] [ONLY=kill_worker,…] [LEGACY=1] [TEMPORAL_SERVERS=3]`.
The first flip has a tenant rehearsed. `GUARDED=1`: the second one moves a tenant whose tasks fail on Temporal only, and
its guardrail takes it back; so does the fault `leader_dies_in_a_rollback`.
`PLANS=1`: plans move everybody and back, all the time, beside the flips.
`MUTATE=fence` takes the fence away, `MUTATE=rampdown` the question to Redis before a task moves.
`LEAVE_EVERY=20`: one flip of so many moves everybody to `complete`.
`MINUTES=20` ends a history before it has all its tasks, flips and faults; the summary says how many it had.
The last line is one JSON object; the exit code is 1 when a rule was violated.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from actors import count_open_forever, flip, strike, submit_all
from checker import LEGACY, check
from clients import Clients
from deploy.local.scratch import scratch
from evidence import explain, history_of, settle, starts_by
from moves import Moves
from pace import Pace
from world import World


def number(name: str, default: int) -> int:
    return int(os.environ.get(name) or default)


async def main() -> int:
    seed, tasks = number("SEED", 7), number("TASKS", 500)
    flips, faults = number("FLIPS", 20), number("FAULTS", 10)
    mutate, guarded = os.environ.get("MUTATE", ""), bool(number("GUARDED", 0))
    if mutate not in ("", "fence", "rampdown"):
        sys.exit(f"chaos: no mutation {mutate!r}; there are: fence, rampdown")
    chance = random.Random(seed)
    timeline: list[str] = []
    with tempfile.TemporaryDirectory(prefix="taskgate-chaos-", dir=scratch()) as directory:
        keep = os.environ.get("CHAOS_DIR")
        place = Path(keep) if keep else Path(directory)
        place.mkdir(parents=True, exist_ok=True)
        world = World(
            place,
            fenced=mutate != "fence",
            asks_redis=mutate != "rampdown",
            temporal_servers=number("TEMPORAL_SERVERS", 1),
            legacy_workers=number("LEGACY", 0),
        )
        began = time.monotonic()
        try:
            await world.start()
            began = time.monotonic()
            clients = Clients(world, random.Random(chance.random()))
            until = began + 60 * number("MINUTES", 1_000_000)
            counted = [0.0]
            moves = Moves(world, clients)
            pace = Pace(tasks, faults, until, lambda: len(clients.tasks) - clients.crowded, lambda: counted[0])
            hitting, moving = random.Random(chance.random()), random.Random(chance.random())
            counting = asyncio.create_task(count_open_forever(world, counted))
            watching = asyncio.create_task(moves.watch_drain_forever())
            planning = asyncio.create_task(moves.planner.plan_forever()) if number("PLANS", 0) else None
            async with asyncio.TaskGroup() as group:
                striking = group.create_task(strike(world, moves, hitting, faults, timeline, began, pace))
                flipping = group.create_task(flip(moves, moving, flips, pace, guarded=guarded))
                group.create_task(submit_all(clients, pace))
            counting.cancel()
            if planning is not None:
                planning.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await planning
            accepted, crowded = len(clients.tasks), clients.crowded
            done_flips, done_faults = flipping.result(), striking.result()
            print(f"{time.monotonic() - began:8.2f} s  all is sent and struck", flush=True)
            ended = accepted - len(await world.rows.open_tasks())
            stuck = await settle(world, ended / (time.monotonic() - began))
            history = await history_of(world, clients)
            watching.cancel()
            history.stuck, history.changes, history.safe = stuck, moves.changes, moves.safe
            starts = starts_by(history)
            print(f"calls: {clients.calls}; starts: {starts}; runs of DAGs: {len(clients.runs)}", flush=True)
            violations = check(history)
            if violations:
                print(f"seed {seed}; faults:", *timeline, sep="\n")
                await explain(world, violations, history)
            await asyncio.gather(clients.close(), moves.close())
            moved = world.count_moved()
            rehearsed, probed = await world.rows.rehearsed()
        finally:
            await world.stop()
    summary: dict[str, Any] = {
        "tasks": accepted - crowded,
        "crowds": crowded,
        "flips": done_flips,
        "faults": done_faults,
        "moved": moved,
        "leader_deaths": dict(world.leader_deaths),
        "safe": len(history.safe),
        "taken_back": moves.taken_back,
        "plans": dict(moves.planner.ended),
        "rehearsed": rehearsed,
        "probed": probed,
        "violations": len(violations),
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
    }
    if world.legacy:
        summary["legacy_runs"] = starts.get(LEGACY, 0)
    print(json.dumps(summary))
    # Beside legacy workers that ran nothing, with rampdowns that moved nothing, and a guardrail that took nothing back,
    # nothing was proven.
    is_idle = (
        (world.legacy and not starts.get(LEGACY))
        or (moves.has_ramped_down and not moved)
        or (moves.is_guarded and not moves.taken_back)
    )
    return 1 if violations or is_idle else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
