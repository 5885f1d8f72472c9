"""Autoscaling signals: waiting and running tasks, slots, and rates of arrival and completion."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.access.placement import Tier
from gateway.fleet.pools import BACKEND_OF_POOL, pool_of
from gateway.storage.database import Database
from gateway.storage.queries import Queries

#: A row of PostgreSQL, or a mapping like it.
Row = Any
SQL = Queries("gateway.fleet", "signals.sql")

#: Rates are averages over so many seconds.
WINDOW_SECONDS = 60.0


@dataclass(slots=True)
class Load:
    """Tasks of one kind. Seconds and rates per second; `run_seconds` is None when nothing completed in the window.
    Runs of DAGs that have begun take no slot, and are not counted.

    `on_legacy_workers`: those of the running that take no slot of ours. `past_gateway`: beside the others, tasks that
    producers pushed past the gateway, the last of them at `past_gateway_at`.
    """

    backlog: int = 0
    oldest_seconds: float = 0.0
    running: int = 0
    on_legacy_workers: int = 0
    arrivals_per_second: float = 0.0
    completions_per_second: float = 0.0
    run_seconds: float | None = None
    past_gateway: int = 0
    past_gateway_at: datetime | None = None

    @property
    def in_slots(self) -> int:
        """Running tasks that take a slot."""
        return self.running - self.on_legacy_workers

    @property
    def demand(self) -> int:
        """Slots that would run everything at once, beside what legacy workers run."""
        return self.backlog + self.in_slots

    @classmethod
    def total(cls, loads: Iterable[Load]) -> Load:
        """All of them together."""
        parts = list(loads)
        ended = sum(part.completions_per_second for part in parts if part.run_seconds is not None)
        spent = sum(part.completions_per_second * part.run_seconds for part in parts if part.run_seconds is not None)
        return cls(
            sum(part.backlog for part in parts),
            max((part.oldest_seconds for part in parts), default=0.0),
            sum(part.running for part in parts),
            sum(part.on_legacy_workers for part in parts),
            sum(part.arrivals_per_second for part in parts),
            sum(part.completions_per_second for part in parts),
            spent / ended if ended else None,
            sum(part.past_gateway for part in parts),
            max((part.past_gateway_at for part in parts if part.past_gateway_at is not None), default=None),
        )


@dataclass(frozen=True, slots=True)
class Signal:
    """The load of one tier on one backend. `backend` and `pool` are None for tasks that are not yet routed."""

    backend: str | None
    pool: str | None
    tier: Tier
    load: Load


@dataclass(frozen=True, slots=True)
class PoolSignal:
    """One pool: its living workers, their slots, its load. `pool` is None for workers of all queues of a backend."""

    pool: str | None
    backend: str
    workers: int
    slots: int
    load: Load


@dataclass(frozen=True, slots=True)
class Signals:
    """All signals of one moment."""

    at: datetime
    window_seconds: float
    signals: tuple[Signal, ...]
    pools: tuple[PoolSignal, ...]


async def read_signals(database: Database, *, window: float = WINDOW_SECONDS) -> Signals:
    """Ask PostgreSQL, one statement after the other, over one connection at a time. Raises `DatabaseUnavailable`."""
    load = await database.fetch(SQL.load)
    arrivals = await database.fetch(SQL.arrivals, window)
    completions = await database.fetch(SQL.completions, window)
    slots = await database.fetch(SQL.slots)
    beside = await database.fetch(SQL.past_gateway)
    return assemble(datetime.now(UTC), window, load, arrivals, completions, slots, beside)


def assemble(
    at: datetime,
    window: float,
    load: Iterable[Row],
    arrivals: Iterable[Row],
    completions: Iterable[Row],
    slots: Iterable[Row],
    past_gateway: Iterable[Row] = (),
) -> Signals:
    """Rows by plan become signals by tier and pool; every pool is there, whether it has load and workers or not."""
    parts: dict[tuple[str | None, Tier], list[Load]] = defaultdict(list)
    for tier in Tier:
        parts["temporal", tier], parts["redis", tier] = [], []
    for row in load:
        waited = max(row["oldest_seconds"] or 0.0, 0.0)
        part = Load(row["backlog"], waited, row["running"], row["on_legacy_workers"])
        parts[row["backend"], Tier.of_plan(row["plan"])].append(part)
    for row in arrivals:
        parts[row["backend"], Tier.of_plan(row["plan"])].append(Load(arrivals_per_second=row["tasks"] / window))
    for row in completions:
        ended = Load(completions_per_second=row["tasks"] / window, run_seconds=row["run_seconds"])
        parts[row["backend"], Tier.of_plan(row["plan"])].append(ended)
    for row in past_gateway:
        beside = Load(past_gateway=row["tasks"], past_gateway_at=row["last_at"])
        parts["redis", Tier.of_plan(row["plan"])].append(beside)
    signals = tuple(
        Signal(backend, pool_of(backend, tier) if backend else None, tier, Load.total(found))
        for (backend, tier), found in parts.items()
    )
    return Signals(at, window, signals, _pools(signals, slots))


def _pools(signals: tuple[Signal, ...], slots: Iterable[Row]) -> tuple[PoolSignal, ...]:
    living = {(row["backend"], row["pool"]): (row["workers"], row["slots"]) for row in slots}
    known = [(backend, pool) for pool, backend in BACKEND_OF_POOL.items()]
    return tuple(
        PoolSignal(
            pool,
            backend,
            *living.get((backend, pool), (0, 0)),
            Load.total(signal.load for signal in signals if pool is not None and signal.pool == pool),
        )
        for backend, pool in (*known, *(name for name in living if name not in known))
    )
