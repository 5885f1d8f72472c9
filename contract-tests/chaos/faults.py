"""All faults by name; each strikes the system and ends with everything running again."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import link_faults
import process_faults
import server_faults
from moves import Moves
from world import World

Fault = Callable[[World, random.Random], Awaitable[None]]

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
    "redis_replica",
    "temporal_refuses",
    "pause_temporal_workers",
    "leave_redis_to_legacy",
)


def faults_of(moves: Moves) -> dict[str, Fault]:
    """The faults by name; `moves` is the operator."""

    async def leader_dies_in_a_rampdown(world: World, chance: random.Random) -> None:
        await process_faults.leader_dies_in_a_rampdown(world, chance, moves.ramp_down)

    async def leader_dies_in_a_rollback(world: World, chance: random.Random) -> None:
        if moves.is_guarded:  # once in a history
            await process_faults.kill_gateway(world, chance)
        else:
            await process_faults.leader_dies_in_a_rollback(world, chance, moves.be_taken_back)

    async def leader_dies_in_a_plan(world: World, chance: random.Random) -> None:
        await process_faults.leader_dies_in_a_plan(world, chance, moves.planner.carry_out)

    faults: tuple[Fault, ...] = (
        process_faults.kill_worker,
        process_faults.kill_gateway,
        process_faults.kill_worker_of_a_dag,
        server_faults.copies_in_redis,
        process_faults.worker_dies_at_a_step,
        process_faults.gateway_dies_at_a_step,
        leader_dies_in_a_rampdown,
        leader_dies_in_a_rollback,
        leader_dies_in_a_plan,
        process_faults.worker_hangs_past_its_lease,
        server_faults.restart_redis,
        server_faults.empty_redis,
        server_faults.restart_postgres,
        server_faults.restart_temporal,
        link_faults.cut_connection,
        link_faults.slow_connection,
        link_faults.hung_connection,
        link_faults.swallowed_answers,
        link_faults.late_answers,
        link_faults.vanished_connections,
        link_faults.leader_half_open,
        link_faults.hot_standby,
        link_faults.redis_replica,
        link_faults.temporal_refuses,
        server_faults.redis_refuses,
        server_faults.kill_one_temporal,
        process_faults.pause_temporal_workers,
        process_faults.leave_redis_to_legacy,
    )
    return {fault.__name__: fault for fault in faults}
