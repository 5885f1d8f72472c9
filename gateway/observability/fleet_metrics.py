"""Gauges of the whole fleet.

Every gateway answers for all, so several of them scraped give the same values: take `max`, not `sum`. They are read
from PostgreSQL before a scrape; while it is away there are none, and `taskgate_database_up` is 0. When that takes long,
because very much waits, the last ones are shown, and `taskgate_fleet_age_seconds` says how old they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from gateway.access.access import Access
from gateway.access.placement import Tier
from gateway.errors import DatabaseUnavailable
from gateway.fleet.signals import Load, Signals, read_signals
from gateway.observability.labels import OTHER, printable
from gateway.routing.router import Router
from gateway.routing.stranded import Left, left_on_redis, stranded
from gateway.storage.database import Database
from gateway.storage.driver_errors import was_cut_short
from gateway.storage.queries import Queries

SQL = Queries("gateway.observability", "fleet.sql")

#: A scrape does not wait longer for PostgreSQL (seconds); scrapers themselves give up after ten.
READ_SECONDS = 3.0
#: Figures that take longer are read to the end all the same, and the next scrape shows them. So long the last ones are
#: shown in place of newer ones (seconds): what waits by the million does not change quickly.
KEPT_SECONDS: Final = 300.0
#: After a reading that took longer than a scrape may, the next one waits nine times as long, at most this (seconds).
LONGEST_REST: Final = 60.0
#: Series of a gauge with names that clients choose; the rest is one series of `other`.
MOST_SERIES: Final = 100

_LOADS: Mapping[str, tuple[str, Callable[[Load], float]]] = {
    "backlog": ("Tasks that are due and do not run", lambda load: load.backlog),
    "oldest_seconds": ("How long the oldest of the backlog waits", lambda load: load.oldest_seconds),
    "running": ("Tasks that run", lambda load: load.running),
    "on_legacy_workers": ("Of the running, those that legacy workers run", lambda load: load.on_legacy_workers),
    "demand": ("Backlog and running, without those on legacy workers", lambda load: load.demand),
    "past_gateway": ("Tasks that producers pushed past the gateway", lambda load: load.past_gateway),
    "arrivals_per_second": ("Tasks accepted, average of the last minute", lambda load: load.arrivals_per_second),
    "completions_per_second": ("Tasks ended, average of the last minute", lambda load: load.completions_per_second),
}


class FleetMetrics:
    """`refresh` reads the values that the next collection shows."""

    def __init__(
        self,
        meter: Meter,
        database: Database,
        router: Router,
        access: Access,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = database
        self._router = router
        self._access = access
        self._clock = clock
        self._values: dict[str, list[Observation]] = {}
        self._figures: dict[str, list[Observation]] = {}
        """The last that were read, and of when they are; at first of when there were none."""
        self._figures_at = clock()
        self._reading: asyncio.Task[None] | None = None
        self._rest_until = clock()
        for name, (description, _) in _LOADS.items():
            self._gauge(meter, f"taskgate_tasks_{name}", description)
            self._gauge(meter, f"taskgate_pool_{name}", description)
        self._gauge(meter, "taskgate_pool_workers", "Living worker processes")
        self._gauge(meter, "taskgate_pool_slots", "Tasks that the living workers can run at once")
        self._gauge(meter, "taskgate_tasks_stranded", "Open tasks on Redis whose tenant is at stage complete")
        self._gauge(meter, "taskgate_tasks_held", "Waiting tasks that are held back, by why")
        self._gauge(
            meter, "taskgate_legacy_beyond_roles", "Requests over legacy endpoints that a role would have refused"
        )
        self._gauge(meter, "taskgate_dead_letters_open", "Tasks that failed for good and wait for somebody")
        self._gauge(meter, "taskgate_database_bytes", "Size of the database on disk")
        self._gauge(meter, "taskgate_fleet_age_seconds", "How old the values of the fleet are")
        self._gauge(meter, "taskgate_database_up", "Whether PostgreSQL answers this gateway")

    async def refresh(self) -> None:
        """Read all values; without PostgreSQL there are none. Those that take long are the last ones for a while."""
        until = asyncio.get_running_loop().time() + READ_SECONDS
        try:
            async with asyncio.timeout_at(until):
                await self._db.fetchval("SELECT 1")
        except (DatabaseUnavailable, TimeoutError):
            self._values = {"taskgate_database_up": [Observation(0)]}
            return
        # Too late, or given up: whoever can be asked is there.
        with contextlib.suppress(DatabaseUnavailable, TimeoutError):
            async with asyncio.timeout_at(until):
                await asyncio.shield(self._begin_reading())
        age = self._clock() - self._figures_at
        self._values = {
            "taskgate_database_up": [Observation(1)],
            "taskgate_fleet_age_seconds": [Observation(age)],
            **(self._figures if age <= KEPT_SECONDS else {}),
        }

    async def close(self) -> None:
        """End a reading that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _begin_reading(self) -> asyncio.Task[None]:
        """The reading that is under way, or a new one; the last one while that is to rest."""
        if self._reading is None or (self._reading.done() and self._clock() >= self._rest_until):
            self._reading = asyncio.create_task(self._read_and_rest(), name="figures of the fleet")
            # Nobody may wait for it any more.
            self._reading.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        return self._reading

    async def _read_and_rest(self) -> None:
        """Raises `DatabaseUnavailable`."""
        began = self._clock()
        try:
            await self._read()
        except DatabaseUnavailable as error:
            if was_cut_short(error):
                self._rest_until = self._clock() + LONGEST_REST
            raise
        if (took := self._clock() - began) > READ_SECONDS:
            self._rest_until = self._clock() + min(9 * took, LONGEST_REST)

    async def _read(self) -> None:
        """Over two connections: they are the same that requests need. Raises `DatabaseUnavailable`."""
        began = self._clock()
        signals, (left, uses, held, growth) = await asyncio.gather(read_signals(self._db), self._read_others())
        lost = stranded(left, lambda query: self._router.route(query).stage)
        self._figures = _signal_values(signals) | {
            "taskgate_tasks_stranded": _stranded(lost),
            "taskgate_legacy_beyond_roles": _bounded(
                Counter({(use["key_id"], use["verb"]): use["requests"] for use in uses}), ("key_id", "verb")
            ),
            "taskgate_tasks_held": [
                Observation(tasks, {"reason": reason, "tier": tier}) for (reason, tier), tasks in _held(held).items()
            ],
            "taskgate_dead_letters_open": [Observation(growth["dead_letters"])],
            "taskgate_database_bytes": [Observation(growth["bytes"])],
        }
        self._figures_at = began

    async def _read_others(self) -> tuple[list[Left], list[dict[str, Any]], list[Any], Any]:
        left = await left_on_redis(self._db)
        uses = await self._access.legacy_use()
        held = await self._db.fetch(SQL.held)
        (growth,) = await self._db.fetch(SQL.growth)
        return left, uses, held, growth

    def show(self, signals: Signals) -> None:
        """Show these loads, and nothing else."""
        self._values = _signal_values(signals)

    def _gauge(self, meter: Meter, name: str, description: str) -> None:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            return self._values.get(name, ())

        meter.create_observable_gauge(name, [observe], description=description)


def _signal_values(signals: Signals) -> dict[str, list[Observation]]:
    values: dict[str, list[Observation]] = defaultdict(list)
    for one in signals.signals:
        labels = {"backend": one.backend or "", "pool": one.pool or "", "tier": one.tier.value}
        for name, (_, value) in _LOADS.items():
            values[f"taskgate_tasks_{name}"].append(Observation(value(one.load), labels))
    for pool in signals.pools:
        labels = {"backend": pool.backend, "pool": pool.pool or ""}
        values["taskgate_pool_workers"].append(Observation(pool.workers, labels))
        values["taskgate_pool_slots"].append(Observation(pool.slots, labels))
        for name, (_, value) in _LOADS.items():
            values[f"taskgate_pool_{name}"].append(Observation(value(pool.load), labels))
    return values


def _stranded(left: Iterable[Left]) -> list[Observation]:
    counts: Counter[tuple[str, ...]] = Counter()
    for one in left:
        counts[one.query.tenant_id or "", one.query.task_type] += one.tasks
    return _bounded(counts, ("tenant", "task_type"))


def _held(rows: Iterable[Any]) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        counts[row["reason"], Tier.of_plan(row["plan"]).value] += row["tasks"]
    return counts


def _bounded(counts: Counter[tuple[str, ...]], names: tuple[str, ...]) -> list[Observation]:
    """The largest, and the sum of the rest."""
    ranked = counts.most_common()
    values = [
        Observation(count, {name: printable(text) for name, text in zip(names, key, strict=True)})
        for key, count in ranked[:MOST_SERIES]
    ]
    if rest := sum(count for _, count in ranked[MOST_SERIES:]):
        values.append(Observation(rest, dict.fromkeys(names, OTHER)))
    return values
