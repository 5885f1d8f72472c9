"""The results of a simulation: waits per tier, use of the slots, fairness between tenants."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.access.placement import Tier
from gateway.fleet.pools import pool_of
from gateway.simulation.workload import Arrival


@dataclass(frozen=True, slots=True)
class TierReport:
    """Waits in seconds. `fairness` is Jain's index over what tenants got ÷ what they were due (`fairness.Shares`)."""

    tier: Tier
    tasks: int
    tenants: int
    mean: float
    p50: float
    p95: float
    p99: float
    fairness: float


@dataclass(frozen=True, slots=True)
class Report:
    """One simulated run; `seconds` of virtual time, `utilisation` by pool until the last task came."""

    tasks: int
    seconds: float
    tiers: tuple[TierReport, ...]
    utilisation: Mapping[str, float]
    mean_by_tenant: Mapping[str, float]


class Tally:
    """Collects the waits of millions of tasks."""

    def __init__(self) -> None:
        self._waits: dict[Tier, array[float]] = {tier: array("d") for tier in Tier}
        self._tenants: dict[Tier, dict[str, list[float]]] = {tier: defaultdict(lambda: [0, 0.0]) for tier in Tier}

    def add(self, task: Arrival, wait: float) -> None:
        """One task that started after `wait` seconds."""
        self._waits[task.tier].append(wait)
        sums = self._tenants[task.tier][task.tenant]
        sums[0] += 1
        sums[1] += wait

    def report(self, seconds: float, utilisation: Mapping[str, float], fairness: Mapping[str, float]) -> Report:
        """The whole run; `fairness` by pool."""
        tiers = tuple(self._tier(tier, fairness) for tier in Tier if self._waits[tier])
        means = {name: sums[1] / sums[0] for found in self._tenants.values() for name, sums in found.items()}
        return Report(sum(tier.tasks for tier in tiers), seconds, tiers, utilisation, means)

    def _tier(self, tier: Tier, fairness: Mapping[str, float]) -> TierReport:
        waits = sorted(self._waits[tier])
        return TierReport(
            tier,
            len(waits),
            len(self._tenants[tier]),
            sum(waits) / len(waits),
            _percentile(waits, 0.5),
            _percentile(waits, 0.95),
            _percentile(waits, 0.99),
            fairness[pool_of("temporal", tier)],
        )


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
