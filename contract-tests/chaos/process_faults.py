"""What strikes gateways and workers; each fault ends with everything running again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.tasks.fault_points import POINTS
from processes import Service
from world import TENANTS, World

#: Moves a tenant, as an operator does.
Move = Callable[[str], Coroutine[Any, Any, None]]
#: Moves everybody by a plan, and back.
Plan = Callable[[], Coroutine[Any, Any, None]]

GATEWAY_POINTS = [
    point for point in POINTS if point in ("before_accept", "after_accept", "before_start", "after_start")
]
RAMPDOWN_POINTS = [point for point in POINTS if point in ("before_withdraw", "after_withdraw", "after_rewait")]
ROLLBACK_POINTS = [point for point in POINTS if point in ("before_rollback", "in_rollback", "after_rollback")]
PLAN_POINTS = [point for point in POINTS if "_plan_" in point]
WORKER_POINTS = [point for point in POINTS if point in ("after_claim", "before_report", "after_report")]
#: Seconds for which the workers of Temporal do nothing; with unmodified legacy workers beside them, more than their 60.
PAUSE_SECONDS = float(os.environ.get("PAUSE_SECONDS") or "5")
#: Longest wait for a leader to die in a rampdown or a plan, and in a rollback, which needs evidence first.
DEATH_SECONDS, ROLLBACK_DEATH_SECONDS = 60.0, 150.0
#: Longest wait for a worker that runs a node of a DAG.
NODE_SECONDS = 5.0
#: Longest wait for a lease of a worker (it may have been killed a moment ago), and then for the end of one that hangs.
LEASE_SECONDS, HANG_SECONDS = 30.0, 30.0


async def kill_gateway(world: World, chance: random.Random) -> None:
    number = chance.randrange(len(world.gateways))
    await world.gateways[number].kill()
    await world.gateways[number].start()
    await world.gateway_is_back(number)


async def gateway_dies_at_a_step(world: World, chance: random.Random) -> None:
    number = chance.randrange(len(world.gateways))
    gateway = world.gateways[number]
    await gateway.kill()
    await gateway.start(TASKGATE_FAULT_POINT=f"{chance.choice(GATEWAY_POINTS)}:{chance.randint(1, 20)}")
    if not await gateway.died(5):
        await gateway.kill()
    await gateway.start()
    await world.gateway_is_back(number)


async def leader_dies_in_a_rampdown(world: World, chance: random.Random, ramp_down: Move) -> None:
    """At a step of a move, each before any comes again. The next leader finds what was done."""
    step = min(RAMPDOWN_POINTS, key=lambda point: world.leader_deaths[point])
    await _leader_dies(world, chance, step, ramp_down(chance.choice(TENANTS)), DEATH_SECONDS)


async def leader_dies_in_a_rollback(world: World, chance: random.Random, be_taken_back: Move) -> None:
    """At a step of it. The next leader takes the tenant back, or finds that it was."""
    step = chance.choice(ROLLBACK_POINTS)
    await _leader_dies(world, chance, step, be_taken_back(chance.choice(TENANTS)), ROLLBACK_DEATH_SECONDS)


async def leader_dies_in_a_plan(world: World, chance: random.Random, plan: Plan) -> None:
    """At a step of a plan, each before any comes again. The next leader goes on."""
    step = min(chance.sample(PLAN_POINTS, len(PLAN_POINTS)), key=lambda point: world.leader_deaths[point])
    await _leader_dies(world, chance, step, plan(), DEATH_SECONDS)


async def _leader_dies(
    world: World, chance: random.Random, step: str, doing: Coroutine[Any, Any, None], seconds: float
) -> None:
    """At a fault point of what is being done. It is alone until then; all come when it is dead."""
    number = chance.randrange(len(world.gateways))
    gateway = world.gateways[number]
    others = [other for other in world.gateways if other is not gateway]
    await asyncio.gather(*(one.kill() for one in world.gateways))
    await gateway.start(TASKGATE_FAULT_POINT=step)
    await world.gateway_is_back(number)
    moving = asyncio.create_task(doing)  # or another one comes first
    deadline = time.monotonic() + seconds
    while gateway.is_alive and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    world.leader_deaths[step] += not gateway.is_alive
    await gateway.kill()
    await asyncio.gather(*(one.start() for one in [gateway, *others]))
    await asyncio.gather(moving, *(world.gateway_is_back(other) for other in range(len(world.gateways))))


async def kill_worker(world: World, chance: random.Random) -> None:
    worker = chance.choice(world.workers)
    if chance.random() < 0.5:
        worker.kill_below()
        return
    await worker.kill()
    await worker.start()


async def kill_worker_of_a_dag(world: World, chance: random.Random) -> None:
    """One that runs a node of a DAG at this moment; any worker of Temporal when none does for a while."""
    deadline = time.monotonic() + NODE_SECONDS
    while not (pids := await world.rows.pids_that_run_nodes()) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    if pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(pids), signal.SIGKILL)
    else:
        chance.choice([worker for worker in world.workers if "temporal" in worker.name]).kill_below()


async def worker_dies_at_a_step(world: World, chance: random.Random) -> None:
    worker = chance.choice(world.workers)
    point, passes = chance.choice(WORKER_POINTS), chance.randint(1, 10)
    if "temporal" in worker.name and chance.random() < 0.5:  # it opens nodes of DAGs, and starts them
        point, passes = chance.choice(GATEWAY_POINTS), chance.randint(1, 3)
    await worker.kill()
    await worker.start(TASKGATE_FAULT_POINT=f"{point}:{passes}")
    await worker.died(6)
    await worker.kill()  # its supervisor, which would have the next one die, too
    await worker.start()


async def worker_hangs_past_its_lease(world: World, chance: random.Random) -> None:
    """Its guard ends it before others may take over what it runs. One that has no lease may hang, and is not meant."""
    worker = chance.choice(world.workers)
    hung: set[int] = set()
    async with asyncio.timeout(LEASE_SECONDS):
        while not hung:
            await asyncio.sleep(0.1)
            if worker.below() & await world.rows.pids_with_a_lease():
                hung = await _hung_with_a_lease(world, worker)
    if not await worker.died(HANG_SECONDS, hung):
        raise RuntimeError(f"{worker.name} hung for {HANG_SECONDS:g} s, and nobody ended it")


async def _hung_with_a_lease(world: World, worker: Service) -> set[int]:
    """The processes of the worker that hang now; none if it had lost its lease meanwhile."""
    hung = worker.hang()
    if hung & await world.rows.pids_with_a_lease():
        return hung
    worker.resume()
    return set()


async def pause_temporal_workers(world: World, chance: random.Random) -> None:
    """There is no worker of Temporal: what waits there must wait, whatever legacy recovery does (R2)."""
    workers = [worker for worker in world.workers if "temporal" in worker.name]
    await asyncio.gather(*(worker.end() for worker in workers))
    await asyncio.sleep(PAUSE_SECONDS)
    await asyncio.gather(*(worker.start() for worker in workers))


async def leave_redis_to_legacy(world: World, chance: random.Random) -> None:
    """Our own workers of the legacy queue are away for a while, and come back beside the legacy ones."""
    workers = [worker for worker in world.workers if "redis" in worker.name]
    await asyncio.gather(*(worker.end() for worker in workers))
    await asyncio.sleep(chance.uniform(1, 3))
    await asyncio.gather(*(worker.start() for worker in workers))
