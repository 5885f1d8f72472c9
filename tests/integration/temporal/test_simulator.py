"""The simulator's word against a real server and worker: a few hundred tasks of two tenants on a few slots."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import defaultdict
from dataclasses import replace

from backends.temporal import names
from gateway.access.placement import Tier
from gateway.dispatch.queues import fairness_key
from gateway.simulation.fleet import Simulation
from gateway.simulation.workload import Arrival
from workers.outcome import Assignment, Completed, Outcome
from workers.testing.starts import new_start
from workers.testing.temporal_bench import TemporalBench
from workers.testing.waiting import until

SLOTS, SECONDS = 5, 0.1
CROWD, SMALL = 150, 15
#: The machine may be slow, and polls cost time that the model leaves out.
FACTOR = 2.0


class SleepingRunner:
    """Notes when each task started."""

    def __init__(self) -> None:
        self.started: dict[str, float] = {}

    async def run(self, assignment: Assignment) -> Outcome:
        self.started[assignment.task_id] = time.monotonic()
        await asyncio.sleep(SECONDS)
        return Completed(None)


async def test_waits_are_those_of_a_real_run(temporal: TemporalBench) -> None:
    kind = f"noop-{secrets.token_hex(4)}"
    engine, runner = temporal.engine(), SleepingRunner()
    tenants = ["crowd"] * CROWD + ["small"] * SMALL
    starts = [
        replace(
            new_start(task_type=kind),
            tenant_id=tenant,
            queue=names.shared_queue(kind),
            fairness_key=fairness_key(tenant, Tier.STANDARD),
        )
        for tenant in tenants
    ]
    ours = {start.ref.task_id for start in starts}
    # The crowd first, and all before there is a worker: what follows is queueing alone.
    for first in range(0, len(starts), 25):
        await asyncio.gather(*(engine.start_workflow(start) for start in starts[first : first + 25]))
    await temporal.serve(runner, task_types=[kind], slots=SLOTS, tenants=(), shared=True)
    # The worker also serves queues that all tests share: what others left there may come, too.
    await until(lambda: ours <= runner.started.keys(), within=60)
    began = min(runner.started[task_id] for task_id in ours)
    waits: dict[str, list[float]] = defaultdict(list)
    for tenant, start in zip(tenants, starts, strict=True):
        waits[tenant].append(runner.started[start.ref.task_id] - began)

    # What a loaded machine adds to each run is no part of the model: it is told how long runs really take.
    cycle = max(SECONDS, max(waits["crowd"] + waits["small"]) / ((len(starts) - 1) // SLOTS))
    arrivals = [Arrival(0.0, tenant, Tier.STANDARD, kind, 3, cycle) for tenant in tenants]
    simulated = Simulation({"A": 1, "B": 1, "C": SLOTS}, dispatch_seconds=0).run(arrivals).mean_by_tenant
    for tenant, real in waits.items():
        mean = sum(real) / len(real)
        assert simulated[tenant] / FACTOR < mean < simulated[tenant] * FACTOR, (tenant, mean, simulated[tenant])
    # Both agree on what fairness is for.
    assert sum(waits["small"]) / SMALL < sum(waits["crowd"]) / CROWD / 2
