"""How many workers each pool should have, and why. Pure: signals in, plan out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.access.placement import Tier
from gateway.fleet.pools import POOL_OF_TIER, REDIS_POOL
from gateway.fleet.signals import Load, PoolSignal


@dataclass(frozen=True, slots=True)
class PoolRules:
    """The rules of a pool. `drain_seconds`: the time in which a backlog should be drained."""

    smallest: int = 1
    largest: int = 100
    slots_per_worker: int = 20
    utilisation: float = 0.7
    drain_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class PlanRules:
    """The rules of each pool; those of enterprise and VIP tenants drain faster."""

    pools: Mapping[str, PoolRules] = field(
        default_factory=lambda: {
            POOL_OF_TIER[Tier.ENTERPRISE]: PoolRules(drain_seconds=5.0),
            POOL_OF_TIER[Tier.VIP]: PoolRules(drain_seconds=10.0),
            POOL_OF_TIER[Tier.STANDARD]: PoolRules(drain_seconds=30.0),
            REDIS_POOL: PoolRules(drain_seconds=30.0),
        }
    )


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """The recommendation: `workers` processes instead of `now`; `reasons` in the order in which they were applied."""

    pool: str
    backend: str
    now: int
    workers: int
    slots_wanted: float
    reasons: tuple[str, ...]

    @property
    def change(self) -> int:
        return self.workers - self.now


def plan(pools: tuple[PoolSignal, ...], rules: PlanRules) -> list[PoolPlan]:
    """A plan for each pool with rules; workers for all queues of a backend are reported, but not planned."""
    known = rules.pools
    return [_plan_pool(one, known[one.pool]) for one in pools if one.pool is not None and one.pool in known]


def slots_wanted(load: Load, rules: PoolRules) -> tuple[float, list[str]]:
    """Slots for what arrives (Little's law, at the wanted utilisation) and for the backlog, and why."""
    if load.run_seconds is None:
        if not load.demand:
            return 0.0, ["nothing waits, runs, or completed lately"]
        reason = f"no task completed lately, so their length is unknown: a slot for each of {load.demand} open tasks"
        return float(load.demand), [reason]
    steady = load.arrivals_per_second * load.run_seconds / rules.utilisation
    reasons = [
        f"{load.arrivals_per_second:.2f} tasks/s of {load.run_seconds:.2f} s at {rules.utilisation:.0%} utilisation:"
        f" {steady:.1f} slots"
    ]
    # A slot runs one task after another until the backlog should be gone; a task takes a slot of its own at most.
    backlog = min(load.backlog * load.run_seconds / rules.drain_seconds, float(load.backlog))
    if load.backlog:
        reasons.append(f"{load.backlog} waiting, to be gone in {rules.drain_seconds:g} s: {backlog:.1f} slots more")
    wanted = steady + backlog
    if wanted < load.in_slots:
        reasons.append(f"not below the {load.in_slots} tasks that run")
        wanted = float(load.in_slots)
    return wanted, reasons


def _plan_pool(signal: PoolSignal, rules: PoolRules) -> PoolPlan:
    assert signal.pool is not None
    wanted, reasons = slots_wanted(signal.load, rules)
    workers = math.ceil(wanted / rules.slots_per_worker - 1e-9)
    reasons.append(f"{rules.slots_per_worker} slots a worker: {workers}")
    if workers < signal.workers // 2:
        workers = signal.workers // 2
        reasons.append(f"shrinks by half at a time: {workers}")
    bounded = min(max(workers, rules.smallest), rules.largest)
    if bounded != workers:
        reasons.append(f"between {rules.smallest} and {rules.largest}: {bounded}")
    return PoolPlan(signal.pool, signal.backend, signal.workers, bounded, round(wanted, 2), tuple(reasons))
