"""A fleet divided into cells, each with a PostgreSQL of its own: who goes where, and what each of them gets."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor
from typing import Final

from gateway.fleet.pools import pool_of
from gateway.simulation.fleet import Simulation
from gateway.simulation.workload import Arrival

#: The busiest of so many seconds is what a cell has to bear.
WINDOW: Final = 10.0


@dataclass(frozen=True, slots=True)
class CellReport:
    """One cell: tasks a second on average and in its busiest `WINDOW`, and the wait of 95 of a hundred (seconds)."""

    cell: int
    tenants: int
    slots: int
    tasks: int
    rate: float
    busiest: float
    p95: float


def cells_of(tasks: Mapping[str, int], count: int) -> dict[str, int]:
    """The cell of each tenant by its tasks: the largest first, each to the cell that has the fewest so far."""
    cells = [(0, number) for number in range(count)]
    found = {}
    for tenant in sorted(tasks, key=lambda name: (-tasks[name], name)):
        load, number = heapq.heappop(cells)
        found[tenant] = number
        heapq.heappush(cells, (load + tasks[tenant], number))
    return found


def in_cells(
    arrivals: Sequence[Arrival], slots: Mapping[str, int], count: int, *, dispatch_seconds: float, fair: bool = True
) -> list[CellReport]:
    """Each cell runs its tenants' tasks on its own slots: of each pool as large a part as of the work."""
    cell_of = cells_of(Counter(task.tenant for task in arrivals), count)
    parts: dict[int, list[Arrival]] = defaultdict(list)
    work: dict[str, dict[int, float]] = {pool: defaultdict(float) for pool in slots}
    for task in arrivals:
        cell = cell_of[task.tenant]
        parts[cell].append(task)
        work[pool_of("temporal", task.tier)][cell] += max(task.seconds, 1e-9)
    shares = {pool: _shares(total, work[pool]) for pool, total in slots.items()}
    found = []
    for cell in sorted(parts):
        own = {pool: share[cell] for pool, share in shares.items() if share.get(cell)}
        report = Simulation(own, dispatch_seconds=dispatch_seconds, fair=fair).run(parts[cell])
        found.append(
            CellReport(
                cell,
                tenants=len({task.tenant for task in parts[cell]}),
                slots=sum(own.values()),
                tasks=report.tasks,
                rate=report.tasks / max(arrivals[-1].at - arrivals[0].at, WINDOW),
                busiest=_busiest(parts[cell]),
                p95=max(tier.p95 for tier in report.tiers),
            )
        )
    return found


def _shares(total: int, work: Mapping[int, float]) -> dict[int, int]:
    """So many slots by cell in proportion to the work, one at least where there is any."""
    whole = sum(work.values())
    exact = {cell: total * part / whole for cell, part in work.items()}
    found = {cell: max(1, floor(part)) for cell, part in exact.items()}
    left = total - sum(found.values())
    for cell in sorted(exact, key=lambda one: found[one] - exact[one])[: max(left, 0)]:
        found[cell] += 1
    return found


def _busiest(tasks: Sequence[Arrival]) -> float:
    """Tasks a second in the busiest window."""
    most = first = 0
    for last, task in enumerate(tasks):
        while tasks[first].at <= task.at - WINDOW:
            first += 1
        most = max(most, last - first + 1)
    return most / WINDOW
