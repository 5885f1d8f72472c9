"""What a move of tenants needs: the door of the stages, and what tells how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from gateway.bootstrap.dependencies import Dependencies
from gateway.bootstrap.rehearsal import inline_bytes
from gateway.dispatch.waiting_reason import WaitingReasons
from gateway.migration.drain.cross_check import CrossCheck
from gateway.migration.drain.oldest_remaining import OldestRemaining
from gateway.migration.drain.report import Drain
from gateway.migration.drain.watch import DrainWatch
from gateway.migration.flags.build import build_store
from gateway.migration.guardrails.guardrails import Guardrails
from gateway.migration.guardrails.watch import GuardrailWatch
from gateway.migration.guardrails.webhook import Webhook
from gateway.migration.parity.gate import Gate
from gateway.migration.parity.parity import Parity
from gateway.migration.parity.watch import ParityWatch
from gateway.migration.plans.checking import PlanChecker
from gateway.migration.plans.override_fallback import OverrideFallback
from gateway.migration.plans.plan_runner import PlanRunner
from gateway.migration.plans.plans import Plans
from gateway.migration.plans.trouble import Gates, Trouble
from gateway.migration.plans.wave_mover import WaveMover
from gateway.migration.preview.compiled import Compiled
from gateway.migration.preview.preview import Previews
from gateway.migration.rehearsal.start_check import StartCheck
from gateway.migration.stages.service import StageService
from gateway.migration.stages.watch import StageWatch
from gateway.storage.database import Database


@dataclass(frozen=True)
class MigrationParts:
    """The door, the watch of what is in force, what is left for Redis, the watch of that, and how tenants fare."""

    stages: StageService
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
    router = dependencies.router
    stages, drain = _build_stages(dependencies, database), _build_drain(dependencies)
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


def build_previews(dependencies: Dependencies, stages: StageService, plans: Plans, check: StartCheck) -> Previews:
    """`check`: what the leader rehearses with."""
    settings, database = dependencies.settings, dependencies.database
    largest = inline_bytes(settings)
    return Previews(
        database,
        stages,
        plans,
        Compiled(database, check, inline_bytes=largest),
        database_url=settings.follow("database_url"),
        inline_bytes=largest,
    )


def build_runner(dependencies: Dependencies, fenced: Database) -> PlanRunner:
    """What carries plans out; writes to this database, and reads what gates ask from the ordinary one."""
    settings, database = dependencies.settings, dependencies.database
    stages = _build_stages(dependencies, fenced)
    parity = Parity(database, dependencies.router, days=settings.parity_days)
    return PlanRunner(
        fenced,
        WaveMover(
            fenced, stages, OverrideFallback(fenced, dependencies.engines.get("redis")), dependencies.flags.document
        ),
        Trouble(fenced, dependencies.flags.document),
        Gates(fenced, parity, _build_drain(dependencies)),
        PlanChecker(dependencies.sandbox),
    )


def _build_stages(dependencies: Dependencies, database: Database) -> StageService:
    settings, flags = dependencies.settings, dependencies.flags
    return StageService(
        database,
        build_store(settings, database, flags),
        settings.flag_key,
        flags.owner,
        redis=dependencies.engines.get("redis"),
        configured=frozenset(dependencies.engines),
        problems=dependencies.router.problems,
    )


def _build_drain(dependencies: Dependencies) -> Drain:
    database, router = dependencies.database, dependencies.router
    return Drain(
        database,
        dependencies.engines.get("redis"),
        router,
        OldestRemaining(database, WaitingReasons(database, router, dependencies.engines)),
        CrossCheck(database, dependencies.engines.get("temporal")),
        quiet=timedelta(hours=dependencies.settings.drain_quiet_hours),
    )
