"""Builds the rehearsal of starts for Temporal, a job of the leader."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from backends.rehearsal import RehearsalPort
from backends.temporal.engine import TemporalEngine
from backends.temporal.payloads import LARGEST_INLINE
from gateway.bootstrap.dependencies import Dependencies
from gateway.dags.workflows import Workflows
from gateway.dispatch.engine_start import StartBuilder
from gateway.limits.gate import Gate
from gateway.migration.rehearsal.comparisons import Comparisons
from gateway.migration.rehearsal.probes import Probes
from gateway.migration.rehearsal.rehearsal import Rehearsal
from gateway.migration.rehearsal.start_check import StartCheck
from gateway.migration.rehearsal.workers import LiveWorkers
from gateway.routing.stages import TEMPORAL
from gateway.settings import Settings
from gateway.storage.database import Database


@dataclass(frozen=True)
class RehearsalParts:
    """What looks at tasks, and what asks workers; without Temporal nobody is asked."""

    rehearsal: Rehearsal
    probes: Probes | None


def build_start_check(dependencies: Dependencies, starts: StartBuilder, gate: Gate) -> StartCheck:
    """`starts`, `gate`: the dispatcher's."""
    return StartCheck(
        _port(dependencies),
        starts,
        LiveWorkers(dependencies.database),
        weight_of=gate.weight_of,
        name_workflow=Workflows(dependencies.settings.episode_dag_tenants).name,
    )


def build_rehearsal(dependencies: Dependencies, check: StartCheck, database: Database) -> RehearsalParts:
    """`database`: the leader's."""
    settings, port = dependencies.settings, _port(dependencies)
    comparisons = Comparisons(dependencies.router, dependencies.flags)
    probes = None
    if port is not None:
        probes = Probes(
            database,
            port,
            comparisons,
            percent=settings.rehearsal_probe_percent,
            per_second=settings.rehearsal_probes_per_second,
            wait=timedelta(seconds=settings.rehearsal_probe_seconds),
        )
    rehearsal = Rehearsal(
        database,
        check,
        probes,
        dependencies.router,
        comparisons,
        most_waiting=settings.rehearsal_waiting,
        inline_bytes=inline_bytes(settings),
    )
    return RehearsalParts(rehearsal, probes)


def inline_bytes(settings: Settings) -> int:
    """Payloads that are larger go to Temporal by reference."""
    return min(settings.temporal_inline_payload_bytes, LARGEST_INLINE)


def _port(dependencies: Dependencies) -> RehearsalPort | None:
    engine = dependencies.engines.get(TEMPORAL)
    return engine.rehearsal if isinstance(engine, TemporalEngine) else None
