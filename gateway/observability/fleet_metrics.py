"""Autoscaling signals as metrics.

Every gateway answers for the whole fleet, so several of them scraped give the same values: take `max`, not `sum`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.fleet.signals import Load, Signals
from gateway.observability.exposition import Gauge
from gateway.routing.stranded import Left


def families(signals: Signals) -> list[Gauge]:
    """`taskgate_tasks_…` by backend, pool and tier; `taskgate_pool_…` by backend and pool."""
    tasks = _LoadGauges("taskgate_tasks")
    for one in signals.signals:
        tasks.set(one.load, backend=one.backend, pool=one.pool, tier=one.tier.value)
    pools = _LoadGauges("taskgate_pool")
    workers = Gauge("taskgate_pool_workers", "Living worker processes")
    slots = Gauge("taskgate_pool_slots", "Tasks that the living workers can run at once")
    for pool in signals.pools:
        labels = {"backend": pool.backend, "pool": pool.pool}
        workers.set(pool.workers, **labels)
        slots.set(pool.slots, **labels)
        pools.set(pool.load, **labels)
    return [*tasks.all(), *pools.all(), workers, slots]


def beyond_roles(uses: Iterable[Mapping[str, Any]]) -> Gauge:
    """What `Access.legacy_use` counted."""
    gauge = Gauge("taskgate_legacy_beyond_roles", "Requests over legacy endpoints that a role would have refused")
    for use in uses:
        gauge.set(use["requests"], key_id=use["key_id"], verb=use["verb"])
    return gauge


def stranded_gauge(stranded: list[Left]) -> Gauge:
    """`taskgate_tasks_stranded` by tenant and type; no values when nothing is."""
    gauge = Gauge("taskgate_tasks_stranded", "Open tasks on Redis whose tenant is at stage complete")
    counts: Counter[tuple[str | None, str]] = Counter()
    for one in stranded:
        counts[one.query.tenant_id, one.query.task_type] += one.tasks
    for (tenant, task_type), tasks in counts.items():
        gauge.set(tasks, tenant=tenant, task_type=task_type)
    return gauge


class _LoadGauges:
    """The gauges of a load, under one prefix."""

    def __init__(self, prefix: str) -> None:
        self._backlog = Gauge(f"{prefix}_backlog", "Tasks that are due and do not run")
        self._oldest = Gauge(f"{prefix}_oldest_seconds", "How long the oldest of the backlog waits")
        self._running = Gauge(f"{prefix}_running", "Tasks that run")
        self._demand = Gauge(f"{prefix}_demand", "Backlog and running")
        self._past_gateway = Gauge(f"{prefix}_past_gateway", "Tasks that producers pushed past the gateway")
        self._arrivals = Gauge(f"{prefix}_arrivals_per_second", "Tasks accepted, average of the last minute")
        self._completions = Gauge(f"{prefix}_completions_per_second", "Tasks ended, average of the last minute")

    def set(self, load: Load, **labels: str | None) -> None:
        self._backlog.set(load.backlog, **labels)
        self._oldest.set(load.oldest_seconds, **labels)
        self._running.set(load.running, **labels)
        self._demand.set(load.demand, **labels)
        self._past_gateway.set(load.past_gateway, **labels)
        self._arrivals.set(load.arrivals_per_second, **labels)
        self._completions.set(load.completions_per_second, **labels)

    def all(self) -> list[Gauge]:
        return [
            self._backlog,
            self._oldest,
            self._running,
            self._demand,
            self._past_gateway,
            self._arrivals,
            self._completions,
        ]
