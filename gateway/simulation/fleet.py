"""The fleet over a virtual clock: dispatcher and worker pools decide by their real functions.

Queue names, priority and fairness keys are what `gateway.dispatch` and `backends.temporal` give to Temporal; a pool
serves the queues of its tier, in turns, as `workers.temporal.slots` lets polls go in turns. Temporal itself is a model
(`fair_queue`), as is time: a task that finds a free slot starts `dispatch_seconds` after it came.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from datetime import timedelta
from itertools import chain
from typing import NamedTuple

from backends.port import WorkflowRef, WorkflowStart
from backends.temporal.starts import priority as priority_of
from gateway.access.placement import Tier
from gateway.dispatch.queues import QueueNames, fairness_key
from gateway.fleet.pools import pool_of
from gateway.simulation.fair_queue import FairQueue
from gateway.simulation.fairness import Shares, jain
from gateway.simulation.report import Report, Tally
from gateway.simulation.workload import Arrival
from gateway.storage.database import Database


class _Place(NamedTuple):
    """Where tasks of one tenant, type and priority wait."""

    pool: _Pool
    queue: FairQueue[Arrival]
    priority: int
    key: str


class _Pool:
    """Slots, and the queues that wait for one, in turns."""

    __slots__ = ("_since", "busy_seconds", "free", "name", "shares", "slots", "turns")

    def __init__(self, name: str, slots: int) -> None:
        self.name = name
        self.slots = self.free = slots
        self.shares: dict[int, Shares] = defaultdict(Shares)
        """By priority: fairness is counted among tasks of the same priority only."""
        self.turns: deque[FairQueue[Arrival]] = deque()
        self.busy_seconds = self._since = 0.0

    def change(self, now: float, freed: int) -> None:
        """So many slots more are free from now on."""
        self.busy_seconds += (self.slots - self.free) * (now - self._since)
        self._since = now
        self.free += freed

    def next(self) -> Arrival | None:
        """The task that gets the next free slot: each queue with tasks has its turn."""
        if not self.turns:
            return None
        queue = self.turns.popleft()
        task = queue.pop()
        self.shares[task.priority].serve(task.tenant)
        if queue:
            self.turns.append(queue)
        return task


class Simulation:
    """Runs tasks to their end. `slots` by pool; `fair` False takes the fairness keys away, to see what they do."""

    def __init__(
        self,
        slots: Mapping[str, int],
        *,
        dispatch_seconds: float = 0.02,
        fair: bool = True,
    ) -> None:
        self._pools = {name: _Pool(name, count) for name, count in slots.items()}
        # Only its pure function is used, so that the database is never opened.
        self._database = Database("postgresql://none")
        self._names: dict[str, QueueNames] = {}
        self._dispatch = dispatch_seconds
        self._fair = fair
        self._queues: dict[str, FairQueue[Arrival]] = {}
        self._places: dict[tuple[str, Tier, str, int], _Place] = {}
        self._tally = Tally()

    @property
    def queues(self) -> frozenset[str]:
        """The names of all queues that tasks went to."""
        return frozenset(self._queues)

    def run(self, arrivals: Iterable[Arrival]) -> Report:
        """All tasks, in the order of their arrival; ends when the last has ended."""
        ends: list[tuple[float, str]] = []
        now = 0.0
        for task in arrivals:
            while ends and ends[0][0] <= task.at:
                now, name = heapq.heappop(ends)
                self._free(self._pools[name], now, ends)
            now = task.at
            self._arrive(task, ends)
        # The time after the last arrival is left out: it does not show how busy the pools were.
        for pool in self._pools.values():
            pool.change(now, 0)
        use = {name: pool.busy_seconds / (pool.slots * now) if now else 0.0 for name, pool in self._pools.items()}
        while ends:
            now, name = heapq.heappop(ends)
            self._free(self._pools[name], now, ends)
        fairness = {
            name: jain(chain.from_iterable(shares.ratios() for shares in pool.shares.values()))
            for name, pool in self._pools.items()
        }
        return self._tally.report(now, use, fairness)

    def _arrive(self, task: Arrival, ends: list[tuple[float, str]]) -> None:
        place = self._places.get((task.tenant, task.tier, task.task_type, task.priority)) or self._find(task)
        pool = place.pool
        if pool.free and not pool.turns:
            pool.change(task.at, -1)
            self._start(pool, task, task.at, ends)
            return
        if not place.queue:
            pool.turns.append(place.queue)
        pool.shares[task.priority].wait(task.tenant)
        place.queue.push(place.priority, place.key, task)

    def _free(self, pool: _Pool, now: float, ends: list[tuple[float, str]]) -> None:
        task = pool.next()
        if task is None:
            pool.change(now, 1)
        else:
            self._start(pool, task, now, ends)

    def _start(self, pool: _Pool, task: Arrival, now: float, ends: list[tuple[float, str]]) -> None:
        # A task that waited was dispatched meanwhile; one that finds a slot waits for its dispatch.
        begins = max(now, task.at + self._dispatch)
        self._tally.add(task, begins - task.at)
        heapq.heappush(ends, (begins + task.seconds, pool.name))

    def _find(self, task: Arrival) -> _Place:
        pool = self._pools[pool_of("temporal", task.tier)]
        names = self._names.get(task.task_type) or QueueNames(self._database, known=frozenset({task.task_type}))
        self._names[task.task_type] = names
        name = names.name(task.tenant, task.tier, task.task_type)
        queue = self._queues.setdefault(name, FairQueue())
        start = WorkflowStart(
            WorkflowRef("simulated", 1, task.tenant, task.task_type),
            {},
            timedelta(),
            tenant_id=task.tenant,
            queue=name,
            priority=task.priority,
            fairness_key=fairness_key(task.tenant, task.tier) if self._fair else None,
        )
        told = priority_of(start)
        place = _Place(pool, queue, told.priority_key, told.fairness_key)
        self._places[task.tenant, task.tier, task.task_type, task.priority] = place
        return place
