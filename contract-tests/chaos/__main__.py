"""A seeded history of flips, submits, stops, retries and faults, and the checker's verdict on it.

`make chaos TASKS=500 FLIPS=20 FAULTS=10 SEED=7 [MUTATE=fence] [ONLY=kill_worker,…] [LEGACY=1] [TEMPORAL_SERVERS=3]`.
`GUARDED=1`: the first flip moves a tenant whose tasks fail on Temporal only, and its guardrail takes it back.
`PLANS=1`: plans move everybody and back, all the time, beside the flips.
`MUTATE=fence` takes the fence away, `MUTATE=rampdown` the question to Redis before a task moves.
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
from collections import Counter
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import Any

import asyncpg

from backends.port import WorkflowRef
from checker import LEGACY, OPEN, AttemptRow, Effect, History, Violation, check
from clients import Clients
from faults import BESIDE_LEGACY, FAULTS
from gateway.routing.stages import Stage
from moves import Moves
from pace import Pace
from world import TENANTS, World

STAGES = ("off", "live", "rampdown", "shadow", "complete", "rampdown")
#: When so long no further task has ended, nothing more is waited for.
SETTLE_SECONDS = 120.0
#: So long after the last fault (seconds), and after what was open then could have ended, everything is over.
STUCK_SECONDS = 60.0
#: How long an engine may go on with a start that has ended for the gateway (a copy that waits, a cancellation).
VIEW_SECONDS = 30.0
AT_ONCE = 12
#: Pause between two counts of the open tasks (seconds).
COUNT_SECONDS = 0.5
#: Now and then a client retries some that failed, and starts a run of a DAG.
RETRY_EVERY, DAG_EVERY = 50, 20
#: One flip of so many moves everybody to `complete`.
LEAVE_EVERY = 20


def number(name: str, default: int) -> int:
    return int(os.environ.get(name) or default)


async def flip(moves: Moves, chance: random.Random, count: int, pace: Pace) -> int:
    """Move tenants between stages `count` times, spread over the history; now and then everybody leaves Redis."""
    for done in range(count):
        while pace.progress < (done + 0.5) / count:
            if pace.is_late:
                return done
            await asyncio.sleep(0.05)
        tenant, stage = chance.choice(TENANTS), Stage(chance.choice(STAGES))
        if done == 0 and number("GUARDED", 0):
            await moves.be_taken_back(tenant)
        elif done % LEAVE_EVERY == LEAVE_EVERY - 1:
            await moves.everybody_leaves()
        elif stage is Stage.RAMPDOWN:
            await moves.ramp_down(tenant)
        else:
            await moves.set_stage(tenant, stage)
    return count


async def strike(world: World, chance: random.Random, count: int, timeline: list[str], began: float, pace: Pace) -> int:
    """One fault after another, each kind before any comes again."""
    only = os.environ.get("ONLY", "")
    kinds = only.split(",") if only else [name for name in FAULTS if is_sensible(world, name)]
    struck: list[str] = []
    deck: list[str] = []
    await world.start_held_back()
    while len(struck) < count and await pace.next_fault():
        deck = deck or chance.sample(kinds, len(kinds))
        name = deck.pop()
        timeline.append(f"{time.monotonic() - began:8.2f} s  {name}  ({pace.progress:.0%} of the tasks)")
        print(timeline[-1], flush=True)
        await FAULTS[name](world, chance)
        struck.append(name)
        pace.struck()
        await asyncio.sleep(chance.uniform(0.2, 1.0))
    return len(struck)


def is_sensible(world: World, fault: str) -> bool:
    if fault == "kill_one_temporal":
        return len(world.stack.temporal_nodes) > 1
    if fault in ("pause_temporal_workers", "leave_redis_to_legacy"):
        return bool(world.legacy)
    return not world.legacy or fault in BESIDE_LEGACY


async def submit_all(clients: Clients, pace: Pace) -> None:
    due: asyncio.Queue[int] = asyncio.Queue()
    owed = 0

    async def client() -> None:
        nonlocal owed
        while True:
            number = await due.get()
            await clients.submit_and_meddle(number)
            if number % RETRY_EVERY == 0:
                await clients.retry_some_failed()
            owed += number % DAG_EVERY == 1
            if owed and number % 5 == 0:  # later, while no tenant is on Temporal
                owed -= 1
                owed += not await clients.start_dag(number)
            due.task_done()

    async with asyncio.TaskGroup() as group:
        working = [group.create_task(client()) for _ in range(AT_ONCE)]
        async for number in pace.tasks():
            due.put_nowait(number)
        await due.join()
        for task in working:
            task.cancel()


async def count_open_forever(world: World, counted: list[float]) -> None:
    """`counted[0]` is the number of open tasks, from time to time, while PostgreSQL is there."""
    while True:
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            counted[0] = len(await world.rows.open_tasks())
        await asyncio.sleep(COUNT_SECONDS)


async def settle(world: World, tasks_per_second: float) -> dict[str, float]:
    """Wait until every task is over, or nothing moves any more; returns what goes into `History.stuck`.

    `tasks_per_second`: how many ended so far, faults included.
    """
    began = time.monotonic()
    before, since, stuck = inf, began, None
    allowed = STUCK_SECONDS + len(await world.rows.open_tasks()) / max(tasks_per_second, 0.1)
    while time.monotonic() < since + SETTLE_SECONDS:
        open_tasks = await world.rows.open_tasks()
        if stuck is None and time.monotonic() > began + allowed:
            stuck = dict.fromkeys(open_tasks, allowed)
        if not open_tasks and await world.legacy_is_done():
            break
        if len(open_tasks) < before:
            before, since = len(open_tasks), time.monotonic()
        await asyncio.sleep(0.3)
    return stuck or {}


async def history_of(world: World, clients: Clients) -> History:
    engines = await engines_views(world)
    dags = {run_id: await clients.see_run(run_id) for run_id in clients.runs}
    waiting = list(clients.tasks)

    async def see() -> None:
        while waiting:
            await clients.see_final_status(waiting.pop())

    await asyncio.gather(*(see() for _ in range(AT_ONCE)))
    attempts: dict[str, list[AttemptRow]] = {}
    async with world.rows.connected() as database:
        statuses = {row["id"]: row["status"] for row in await database.fetch("SELECT id, status FROM task_logs")}
        for row in await database.fetch(
            "SELECT a.task_id, a.attempt, a.outcome, l.id IS NOT NULL AS is_joined"
            " FROM taskgate.attempt a LEFT JOIN taskgate.ledger l ON l.id = a.entry_id ORDER BY a.attempt"
        ):
            attempts.setdefault(row["task_id"], []).append(AttemptRow(row["attempt"], row["outcome"], row["is_joined"]))
    effects = [Effect(**json.loads(line)) for line in world.effects.read_text().splitlines()]
    return History(clients.tasks, effects, statuses, attempts, world.kills, engines, dags)


async def engines_views(world: World) -> dict[str, str]:
    """What each engine says of the last start of each task; what is still open is given a while to end."""
    async with world.rows.connected() as database:
        rows = await database.fetch(
            "SELECT task_id, epoch, group_id, task_type, backend FROM taskgate.dispatch WHERE backend IS NOT NULL"
        )
    engines = world.engines()
    waiting = {row["task_id"]: row for row in rows}
    views: dict[str, str] = {}

    async def look() -> None:
        while queue:
            row = queue.pop()
            ref = WorkflowRef(row["task_id"], row["epoch"], row["group_id"], row["task_type"])
            status = await engines[row["backend"]].get_workflow_status(ref)
            views[ref.task_id] = "" if status is None else str(status.state)

    deadline = inf
    while waiting and time.monotonic() < deadline:
        queue = list(waiting.values())
        await asyncio.gather(*(look() for _ in range(AT_ONCE)))
        deadline = min(deadline, time.monotonic() + VIEW_SECONDS)  # the first look at thousands takes longer itself
        waiting = {task_id: row for task_id, row in waiting.items() if views[task_id] in OPEN}
        await asyncio.sleep(0.2)
    for engine in engines.values():
        await engine.close()
    return views


def starts_by(history: History) -> dict[str, int]:
    return dict(Counter(effect.by for effect in history.effects if effect.event == "start"))


async def explain(world: World, violations: list[Violation], history: History) -> None:
    """What is known of the first offenders."""
    async with world.rows.connected() as database:
        for violation in violations[:10]:
            print(f"\n{violation.rule}: task {violation.task}: {violation.detail}")
            for table, key in (("task_logs", "id"), ("taskgate.dispatch", "task_id"), ("taskgate.attempt", "task_id")):
                for row in await database.fetch(f"SELECT * FROM {table} WHERE {key} = $1", violation.task):
                    shown = {name: str(value) for name, value in row.items() if value is not None and name != "payload"}
                    print(f"  {table}: {shown}")
            for effect in history.effects:
                if effect.task == violation.task:
                    print(
                        f"  {effect.at:.3f} {effect.event} in {effect.by} process {effect.pid} (run {effect.run[:8]})"
                    )
            print(f"  clients: {asdict(history.tasks[violation.task]) if violation.task in history.tasks else None}")


async def main() -> int:
    seed, tasks = number("SEED", 7), number("TASKS", 500)
    flips, faults = number("FLIPS", 20), number("FAULTS", 10)
    mutate = os.environ.get("MUTATE", "")
    if mutate not in ("", "fence", "rampdown"):
        sys.exit(f"chaos: no mutation {mutate!r}; there are: fence, rampdown")
    chance = random.Random(seed)
    timeline: list[str] = []
    with tempfile.TemporaryDirectory(prefix="taskgate-chaos-") as directory:
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
            moves = world.moves = Moves(world, clients)
            pace = Pace(tasks, faults, until, lambda: len(clients.tasks) - clients.crowded, lambda: counted[0])
            hitting, moving = random.Random(chance.random()), random.Random(chance.random())
            counting = asyncio.create_task(count_open_forever(world, counted))
            watching = asyncio.create_task(moves.watch_drain_forever())
            planning = asyncio.create_task(moves.planner.plan_forever()) if number("PLANS", 0) else None
            async with asyncio.TaskGroup() as group:
                striking = group.create_task(strike(world, hitting, faults, timeline, began, pace))
                flipping = group.create_task(flip(moves, moving, flips, pace))
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
    # Beside legacy workers that ran nothing, and with rampdowns that moved nothing, nothing was proven.
    is_idle = (world.legacy and not starts.get(LEGACY)) or (moves.has_ramped_down and not moved)
    return 1 if violations or is_idle else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
