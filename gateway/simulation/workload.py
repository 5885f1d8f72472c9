"""Tasks to simulate: from a trace, or drawn from a distribution."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from gateway.access.placement import Tier
from gateway.errors import InvalidRequest
from gateway.fleet.pools import pool_of

#: So many values are drawn from a distribution at once: one call for each would take most of the time.
_BLOCK = 4096


class TraceInvalid(InvalidRequest):
    """The trace is not valid."""

    code = "trace_invalid"


class Arrival(NamedTuple):
    """One task: when it comes (seconds from the start), whose it is, and how long it runs."""

    at: float
    tenant: str
    tier: Tier
    task_type: str
    priority: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """Poisson arrivals of many tenants, a few of which send most; runs are log-normal around `median_seconds`.

    `load` is the share of each pool's slots that would be busy if nothing ever waited. Tenants of a tier send in
    proportion to 1 / rank (Zipf). `tenants` are by tier.
    """

    tasks: int = 200_000
    tenants: Mapping[Tier, int] = field(
        default_factory=lambda: {Tier.ENTERPRISE: 50, Tier.VIP: 200, Tier.STANDARD: 1750}
    )
    load: float = 0.8
    median_seconds: float = 2.0
    spread: float = 1.0
    task_type: str = "add_episode"
    priorities: tuple[int, ...] = (3, 3, 3, 3, 3, 3, 2, 4, 1, 5)
    seed: int = 0

    @property
    def mean_seconds(self) -> float:
        """Of the log-normal distribution."""
        return self.median_seconds * math.exp(self.spread**2 / 2)

    def arrivals(self, slots: Mapping[str, int]) -> Iterator[Arrival]:
        """The tasks in the order in which they come. Pools without slots get no tasks."""
        chance = random.Random(self.seed)
        rates = {
            tier: self.load * slots.get(pool_of("temporal", tier), 0) / self.mean_seconds
            for tier, count in self.tenants.items()
            if count
        }
        tiers = [tier for tier, rate in rates.items() if rate > 0]
        if not tiers:
            raise InvalidRequest("There are no tenants whose pool has slots")
        total = sum(rates[tier] for tier in tiers)
        whose = {tier: _Zipf(chance, [f"{tier.value}-{n}" for n in range(self.tenants[tier])]) for tier in tiers}
        at, left = 0.0, self.tasks
        mu = math.log(self.median_seconds)
        while left > 0:
            block = min(left, _BLOCK)
            left -= block
            chosen = chance.choices(tiers, [rates[tier] for tier in tiers], k=block)
            priorities = chance.choices(self.priorities, k=block)
            for tier, priority in zip(chosen, priorities, strict=True):
                at += chance.expovariate(total)
                seconds = chance.lognormvariate(mu, self.spread)
                yield Arrival(at, whose[tier].next(), tier, self.task_type, priority, seconds)


def read_trace(lines: Iterable[str]) -> list[Arrival]:
    """JSON lines `{"at", "tenant", "plan", "type", "priority", "seconds"}`, in any order; the last four may be missing.

    Raises `TraceInvalid` with the number of the line.
    """
    arrivals = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            task = json.loads(line)
            at, seconds = float(task["at"]), float(task.get("seconds", 1.0))
            if not (0 <= at < float("inf") and 0 <= seconds < float("inf")):
                raise ValueError("times must be numbers from 0 up")
            tier, kind = Tier.of_plan(str(task.get("plan", ""))), str(task.get("type", "add_episode"))
            arrivals.append(Arrival(at, str(task["tenant"]), tier, kind, int(task.get("priority", 3)), seconds))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise TraceInvalid(f"Line {number} of the trace: {error}") from error
    arrivals.sort(key=lambda arrival: arrival.at)
    return arrivals


class _Zipf:
    """Draws names, the first most often."""

    def __init__(self, chance: random.Random, names: Sequence[str]) -> None:
        self._chance = chance
        self._names = names
        self._weights = list(accumulate(1 / (rank + 1) for rank in range(len(names))))
        self._drawn: list[str] = []

    def next(self) -> str:
        if not self._drawn:
            self._drawn = self._chance.choices(self._names, cum_weights=self._weights, k=_BLOCK)
        return self._drawn.pop()
