"""What tells how far a move is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from gateway.bootstrap.dependencies import Dependencies
from gateway.dispatch.waiting_reason import WaitingReasons
from gateway.migration.drain import Drain
from gateway.migration.slowest import Slowest
from gateway.migration.watch import DrainWatch


@dataclass(frozen=True)
class MigrationParts:
    """What is left for Redis, and who watches that."""

    drain: Drain
    watch: DrainWatch


def build_migration(dependencies: Dependencies) -> MigrationParts:
    database, router = dependencies.database, dependencies.router
    drain = Drain(
        database,
        dependencies.engines.get("redis"),
        router,
        Slowest(database, WaitingReasons(database, router, dependencies.engines)),
        quiet=timedelta(hours=dependencies.settings.drain_quiet_hours),
    )
    return MigrationParts(drain, DrainWatch(drain))
