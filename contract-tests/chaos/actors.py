"""Who acts in a history: clients that submit, an operator that moves tenants, and faults that strike."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time

import asyncpg

from clients import Clients
from faults import BESIDE_LEGACY, faults_of
from gateway.routing.stages import Stage
from moves import Moves
from pace import Pace
from world import TENANTS, World

STAGES = ("off", "live", "rampdown", "shadow", "complete", "rampdown")
AT_ONCE = 12
#: Pause between two counts of the open tasks (seconds).
COUNT_SECONDS = 0.5
#: Now and then a client retries some that failed, and starts a run of a DAG.
RETRY_EVERY, DAG_EVERY = 50, 20
#: One flip of so many moves everybody to `complete`.
LEAVE_EVERY = int(os.environ.get("LEAVE_EVERY") or "20")


async def flip(moves: Moves, chance: random.Random, count: int, pace: Pace, *, guarded: bool) -> int:
    """Move tenants between stages `count` times, spread over the history; now and then everybody leaves Redis.

    The first flip has a tenant rehearsed. `guarded`: the second one moves a tenant that its guardrail takes back.
    Returns how many were done in time.
    """
    for done in range(count):
        while pace.progress < (done + 0.5) / count:
            if pace.is_late:
                return done
            await asyncio.sleep(0.05)
        tenant = chance.choice([tenant for tenant in TENANTS if tenant != moves.guarded])
        stage = Stage(chance.choice(STAGES))
        if done == 0:
            await moves.be_rehearsed(tenant)
        elif done == 1 and guarded:
            await moves.be_taken_back(tenant)
        elif done % LEAVE_EVERY == LEAVE_EVERY - 1:
            await moves.everybody_leaves()
        elif stage is Stage.RAMPDOWN:
            await moves.ramp_down(tenant)
        else:
            await moves.set_stage(tenant, stage)
    return count


async def strike(
    world: World, moves: Moves, chance: random.Random, count: int, timeline: list[str], began: float, pace: Pace
) -> int:
    """One fault after another, each kind before any comes again. Returns how many struck in time."""
    faults, only = faults_of(moves), os.environ.get("ONLY", "")
    kinds = only.split(",") if only else [name for name in faults if is_sensible(world, name)]
    struck: list[str] = []
    deck: list[str] = []
    await world.start_held_back()
    while len(struck) < count and await pace.next_fault():
        deck = deck or chance.sample(kinds, len(kinds))
        name = deck.pop()
        timeline.append(f"{time.monotonic() - began:8.2f} s  {name}  ({pace.progress:.0%} of the tasks)")
        print(timeline[-1], flush=True)
        await faults[name](world, chance)
        struck.append(name)
        pace.struck()
        await asyncio.sleep(chance.uniform(0.2, 1.0))
    return len(struck)


def is_sensible(world: World, fault: str) -> bool:
    """Whether the fault can strike this world without proving anything false."""
    if fault == "kill_one_temporal":
        return len(world.stack.temporal_nodes) > 1
    if fault in ("pause_temporal_workers", "leave_redis_to_legacy"):
        return bool(world.legacy)
    return not world.legacy or fault in BESIDE_LEGACY


async def submit_all(clients: Clients, pace: Pace) -> None:
    """Every task of the history, from several clients at once."""
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
