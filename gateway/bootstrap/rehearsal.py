"""Builds the rehearsal of starts for Temporal, a job of the leader."""

from __future__ import annotations

from backends.temporal.engine import TemporalEngine
from backends.temporal.payloads import LARGEST_INLINE
from gateway.bootstrap.dependencies import Dependencies
from gateway.dags.workflows import Workflows
from gateway.dispatch.engine_start import StartBuilder
from gateway.limits.gate import Gate
from gateway.migration.rehearsal.rehearsal import Rehearsal
from gateway.migration.rehearsal.start_check import StartCheck
from gateway.migration.rehearsal.workers import LiveWorkers
from gateway.routing.stages import TEMPORAL
from gateway.storage.database import Database


def build_rehearsal(dependencies: Dependencies, starts: StartBuilder, gate: Gate, database: Database) -> Rehearsal:
    """`starts`, `gate`: the dispatcher's. `database`: the leader's."""
    settings, engine = dependencies.settings, dependencies.engines.get(TEMPORAL)
    check = StartCheck(
        engine.rehearsal if isinstance(engine, TemporalEngine) else None,
        starts,
        LiveWorkers(dependencies.database),
        weight_of=gate.weight_of,
        name_workflow=Workflows(settings.episode_dag_tenants).name,
    )
    return Rehearsal(
        database,
        check,
        most_waiting=settings.rehearsal_waiting,
        inline_bytes=min(settings.temporal_inline_payload_bytes, LARGEST_INLINE),
    )
