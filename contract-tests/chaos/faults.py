"""What strikes the system; each fault ends with everything running again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from gateway.tasks.fault_points import POINTS
from links import SIDES
from processes import Service
from world import TENANTS, World

Fault = Callable[[World, random.Random], Awaitable[None]]

GATEWAY_POINTS = [
    point for point in POINTS if point in ("before_accept", "after_accept", "before_start", "after_start")
]
RAMPDOWN_POINTS = [point for point in POINTS if point in ("before_withdraw", "after_withdraw", "after_rewait")]
PLAN_POINTS = [point for point in POINTS if "_plan_" in point]
WORKER_POINTS = [point for point in POINTS if point in ("after_claim", "before_report", "after_report")]
#: Seconds for which the workers of Temporal do nothing; with unmodified legacy workers beside them, more than their 60.
PAUSE_SECONDS = float(os.environ.get("PAUSE_SECONDS") or "5")
#: Longest wait for a leader to die in a rampdown.
DEATH_SECONDS = 30.0
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


async def leader_dies_in_a_rampdown(world: World, chance: random.Random) -> None:
    """At a step of a move, each before any comes again. The next leader finds what was done."""
    assert world.moves is not None
    await _leader_dies(world, chance, RAMPDOWN_POINTS, world.moves.ramp_down(chance.choice(TENANTS)))


async def leader_dies_in_a_plan(world: World, chance: random.Random) -> None:
    """At a step of a plan, each before any comes again. The next leader goes on."""
    assert world.moves is not None
    await _leader_dies(world, chance, PLAN_POINTS, world.moves.planner.carry_out())


async def _leader_dies(
    world: World, chance: random.Random, points: Sequence[str], doing: Coroutine[Any, Any, None]
) -> None:
    number = chance.randrange(len(world.gateways))
    step = min(points, key=lambda point: world.leader_deaths[point])
    gateway = world.gateways[number]
    others = [other for other in world.gateways if other is not gateway]
    await asyncio.gather(*(one.kill() for one in world.gateways))
    await gateway.start(TASKGATE_FAULT_POINT=step)
    await world.gateway_is_back(number)
    moving = asyncio.create_task(doing)  # or another one comes first
    deadline = time.monotonic() + DEATH_SECONDS
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


async def restart_redis(world: World, chance: random.Random) -> None:
    redis = world.stack.part("redis")
    await redis.kill()
    await asyncio.sleep(chance.uniform(0, 1.5))
    await redis.start()


async def empty_redis(world: World, chance: random.Random) -> None:
    await world.flush_redis()


async def copies_in_redis(world: World, chance: random.Random) -> None:
    for _ in range(5):
        await world.copy_in_redis()
        await asyncio.sleep(0.2)


async def restart_temporal(world: World, chance: random.Random) -> None:
    temporal = world.stack.part("temporal")
    await temporal.kill()
    await temporal.start()


async def restart_postgres(world: World, chance: random.Random) -> None:
    postgres = world.stack.part("postgres")
    await postgres.stop()
    await postgres.start()


async def cut_connection(world: World, chance: random.Random) -> None:
    """Between two of them nothing is open, and nothing can be opened."""
    async with world.links.proxy.cut(world.links.next(chance)):
        await asyncio.sleep(chance.uniform(0.1, 4))


async def slow_connection(world: World, chance: random.Random) -> None:
    link = world.links.faulty[world.links.next(chance)]
    link.requests_late = link.answers_late = chance.uniform(0.02, 0.4)
    await asyncio.sleep(chance.uniform(1, 4))
    link.requests_late = link.answers_late = 0.0


async def hung_connection(world: World, chance: random.Random) -> None:
    """Longer than a lease, now and then."""
    async with world.links.proxy.hung(world.links.next(chance)):
        await asyncio.sleep(chance.uniform(0.5, 5))


async def swallowed_answers(world: World, chance: random.Random) -> None:
    """Requests arrive; nothing comes back."""
    async with world.links.proxy.swallowed(world.links.next(chance)):
        await asyncio.sleep(chance.uniform(0.5, 5))


async def late_answers(world: World, chance: random.Random) -> None:
    """Requests arrive; each answer comes ten seconds later."""
    link = world.links.faulty[world.links.next(chance)]
    link.answers_late = 10.0
    await asyncio.sleep(chance.uniform(1, 12))
    link.answers_late = 0.0


async def vanished_connections(world: World, chance: random.Random) -> None:
    """What is open swallows everything for as long as anybody cares; what is opened anew works."""
    link = world.links.faulty[world.links.next(chance)]
    link.silence()
    await asyncio.sleep(chance.uniform(5, 15))
    link.drop_silent()


async def leader_half_open(world: World, chance: random.Random) -> None:
    """The connection under which one gateway leads swallows everything; all others work."""
    if await world.silence_leader():
        await asyncio.sleep(chance.uniform(5, 10))
    world.links.faulty["gateway-postgres"].drop_silent()


async def hot_standby(world: World, chance: random.Random) -> None:
    """A fail-over: the endpoint of PostgreSQL leads to a standby, which refuses every write, and back."""
    link = f"{chance.choice(SIDES)}-postgres"
    async with world.links.proxy.led_to(link, await world.standby()):
        await asyncio.sleep(chance.uniform(2, 8))


async def temporal_refuses(world: World, chance: random.Random) -> None:
    """RESOURCE_EXHAUSTED for every call of one side."""
    async with world.links.proxy.led_to(f"{chance.choice(SIDES)}-temporal", world.refusing.address):
        await asyncio.sleep(chance.uniform(1, 4))


async def redis_refuses(world: World, chance: random.Random) -> None:
    """Its memory is full: it takes no command that would need more."""
    await world.limit_redis(1)
    await asyncio.sleep(chance.uniform(1, 4))
    await world.limit_redis(0)


async def kill_one_temporal(world: World, chance: random.Random) -> None:
    """One of several: the others go on with its share."""
    node = chance.choice(world.stack.temporal_nodes)
    await node.kill()
    await asyncio.sleep(chance.uniform(1, 5))
    await node.start()


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


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        kill_worker,
        kill_gateway,
        kill_worker_of_a_dag,
        copies_in_redis,
        worker_dies_at_a_step,
        gateway_dies_at_a_step,
        leader_dies_in_a_rampdown,
        leader_dies_in_a_plan,
        worker_hangs_past_its_lease,
        restart_redis,
        empty_redis,
        restart_postgres,
        restart_temporal,
        cut_connection,
        slow_connection,
        hung_connection,
        swallowed_answers,
        late_answers,
        vanished_connections,
        leader_half_open,
        hot_standby,
        temporal_refuses,
        redis_refuses,
        kill_one_temporal,
        pause_temporal_workers,
        leave_redis_to_legacy,
    )
}

#: What an unmodified legacy worker stands without losing a task of its own accord: no fault of its own servers, whose
#: errors it swallows, and no copies, which it would run.
BESIDE_LEGACY = (
    "kill_worker",
    "kill_gateway",
    "kill_worker_of_a_dag",
    "worker_dies_at_a_step",
    "gateway_dies_at_a_step",
    "leader_dies_in_a_rampdown",
    "worker_hangs_past_its_lease",
    "restart_temporal",
    "cut_connection",
    "slow_connection",
    "hung_connection",
    "swallowed_answers",
    "late_answers",
    "vanished_connections",
    "leader_half_open",
    "hot_standby",
    "temporal_refuses",
    "pause_temporal_workers",
    "leave_redis_to_legacy",
)
