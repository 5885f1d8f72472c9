"""What the pools of Temporal's workers would have needed: slots by the minute, and waits by the simulator."""

from __future__ import annotations

import math
import random
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from gateway.fleet.pools import BACKEND_OF_POOL
from gateway.migration.preview.moved import Context
from gateway.simulation.fleet import Simulation
from gateway.simulation.workload import Arrival

#: So many tasks are simulated at most: the newest of the window.
MOST_SIMULATED: Final = 1_000_000
_MINUTE: Final = 60.0
_POOLS: Final = tuple(name for name, backend in BACKEND_OF_POOL.items() if backend == "temporal")

#: A pool, and the part of its tasks that is on Temporal, now and after each step.
_Profile = tuple[str, tuple[float, ...]]


class PoolLoad:
    """Fed with the tasks of the window in the order in which they came; bounded memory."""

    def __init__(self, contexts: list[Context], hours: int) -> None:
        self._contexts = contexts
        self._minutes = hours * 60
        known: dict[_Profile, _Profile] = {}
        profiles = ((one.pool, tuple(one.on_temporal)) for one in contexts)
        self._profiles = [known.setdefault(one, one) for one in profiles]
        self._busy: dict[_Profile, array[float]] = defaultdict(lambda: array("d", bytes(8 * self._minutes)))
        self._tasks: dict[_Profile, int] = defaultdict(int)
        # A run that was not measured takes as long as others of its type, or of any.
        self._unmeasured = _mean_seconds(contexts)
        self._at, self._whose = array("d"), array("L")
        self._seconds, self._priority = array("f"), array("b")
        self._chance = random.Random(1)
        on_temporal = sum(one.tasks * one.on_temporal[-1] for one in contexts)
        self._skipped = max(0, round(on_temporal) - MOST_SIMULATED)

    def add(self, number: int, at: float, seconds: float | None, priority: int) -> None:
        """A task of the context with this number, `at` seconds after the window began."""
        profile = self._profiles[number]
        share = profile[1][-1]
        if not any(profile[1]):
            return
        if seconds is None or seconds < 0:
            one = self._contexts[number]
            measured = one.seconds if one.seconds is not None else self._unmeasured.get(one.query.task_type)
            seconds = self._unmeasured[""] if measured is None else measured
        self._tasks[profile] += 1
        self._fill(self._busy[profile], at, seconds)
        if share and (share == 1 or self._chance.random() < share):
            if self._skipped:
                self._skipped -= 1
                return
            self._at.append(at)
            self._seconds.append(seconds)
            self._whose.append(number)
            self._priority.append(priority)

    def _fill(self, busy: array[float], at: float, seconds: float) -> None:
        """Its run, as if it had never waited."""
        minute, end = max(int(at // _MINUTE), 0), at + seconds
        while minute < self._minutes and minute * _MINUTE < end:
            begin = max(at, minute * _MINUTE)
            busy[minute] += max(min(end, (minute + 1) * _MINUTE) - begin, 0.0)
            minute += 1

    def needs(self, steps: int) -> list[dict[str, dict[str, Any]]]:
        """Now, and after each of so many steps, by pool: tasks, and the slots that were busy if nothing waited."""
        busy_now = {pool: array("d", bytes(8 * self._minutes)) for pool in _POOLS}
        tasks_now, found = dict.fromkeys(_POOLS, 0.0), []
        for step in range(steps + 1):
            for profile, busy in self._busy.items():
                pool, shares = profile
                change = shares[step] - (shares[step - 1] if step else 0.0)
                if change:
                    tasks_now[pool] += change * self._tasks[profile]
                    present = busy_now[pool]
                    for minute, seconds in enumerate(busy):
                        present[minute] += change * seconds
            found.append({pool: self._need(busy_now[pool], count) for pool, count in tasks_now.items() if round(count)})
        return found

    def _need(self, busy: array[float], tasks: float) -> dict[str, Any]:
        busiest = max(range(self._minutes), key=busy.__getitem__)
        return {
            "tasks": round(tasks),
            "slots": math.ceil(round(busy[busiest] / _MINUTE, 6)),
            "busiest_minute": busiest,
            "mean_slots": round(sum(busy) / self._minutes / _MINUTE, 2),
        }

    def simulate(self, slots: Mapping[str, int]) -> dict[str, Any] | None:
        """The waits of the tasks that are on Temporal after the last step, with these slots; None: there is none."""
        if not self._at:
            return None
        report = Simulation(slots).run(self._arrivals())
        return {
            "tasks": report.tasks,
            "seconds": report.seconds,
            "slots": dict(slots),
            "utilisation": {name: use for name, use in report.utilisation.items() if name in slots},
            "tiers": [{**asdict(one), "tier": one.tier.value} for one in report.tiers],
        }

    def _arrivals(self) -> Iterator[Arrival]:
        first = self._at[0]
        for at, number, seconds, priority in zip(self._at, self._whose, self._seconds, self._priority, strict=True):
            query = self._contexts[number].query
            yield Arrival(at - first, query.tenant_id or "-", query.tier, query.task_type, priority, seconds)


def slots_to_simulate(present: Mapping[str | None, int], needs: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Those there are; workers without a pool are shared by need. Where there are none: the needed ones."""
    shared, wanted = present.get(None, 0), sum(one["slots"] for one in needs.values()) or 1
    return {
        pool: present.get(pool, 0) + shared * one["slots"] // wanted or max(one["slots"], 1)
        for pool, one in needs.items()
    }


def _mean_seconds(contexts: Iterable[Context]) -> dict[str, float]:
    """By type, and under "" of all."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for one in contexts:
        if one.seconds is not None:
            for name in (one.query.task_type, ""):
                sums[name][0] += one.tasks * max(one.seconds, 0.0)
                sums[name][1] += one.tasks
    return {"": 1.0} | {name: total / tasks for name, (total, tasks) in sums.items()}
