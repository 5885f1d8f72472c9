"""What a move of tenants needs: the door of the stages, and what tells how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from gateway.bootstrap.dependencies import Dependencies
from gateway.dispatch.waiting_reason import WaitingReasons
from gateway.migration.drain.cross_check import CrossCheck
from gateway.migration.drain.report import Drain
from gateway.migration.drain.slowest import Slowest
from gateway.migration.drain.watch import DrainWatch
from gateway.migration.flags.build import build_store
from gateway.migration.guardrails.guardrails import Guardrails
from gateway.migration.guardrails.watch import GuardrailWatch
from gateway.migration.guardrails.webhook import Webhook
from gateway.migration.parity.gate import Gate
from gateway.migration.parity.parity import Parity
from gateway.migration.parity.watch import ParityWatch
from gateway.migration.stages.door import Stages
from gateway.migration.stages.watch import StageWatch


@dataclass(frozen=True)
class MigrationParts:
    """The door, the watch of what is in force, what is left for Redis, the watch of that, and how tenants fare."""

    stages: Stages
    stage_watch: StageWatch
    drain: Drain
    drain_watch: DrainWatch
    parity: Parity
    parity_watch: ParityWatch
    parity_gate: Gate
    guardrails: Guardrails
    guardrail_watch: GuardrailWatch


def build_migration(dependencies: Dependencies) -> MigrationParts:
    settings, database, flags = dependencies.settings, dependencies.database, dependencies.flags
    router, redis = dependencies.router, dependencies.engines.get("redis")
    stages = Stages(
        database,
        build_store(settings, database, flags),
        settings.flag_key,
        flags.owner,
        redis=redis,
        configured=frozenset(dependencies.engines),
        problems=router.problems,
    )
    drain = Drain(
        database,
        redis,
        router,
        Slowest(database, WaitingReasons(database, router, dependencies.engines)),
        CrossCheck(database, dependencies.engines.get("temporal")),
        quiet=timedelta(hours=settings.drain_quiet_hours),
    )
    parity = Parity(database, router, days=settings.parity_days)
    stage_watch = StageWatch(flags, dependencies.overrides, router)
    return MigrationParts(
        stages,
        stage_watch,
        drain,
        DrainWatch(drain),
        parity,
        ParityWatch(parity),
        Gate(database, parity),
        Guardrails(database, Webhook(settings.guardrail_webhook_url), wake=lambda: None),
        GuardrailWatch(database, dependencies.listener, stage_watch.tell),
    )
