"""The one composition root: every face and command builds its parts here, and only here."""

from __future__ import annotations

from collections.abc import Mapping

from backends.port import WorkflowEnginePort
from gateway.access.key_ring import KeyRing
from gateway.access.remembered import RememberedKeys
from gateway.audit.reading import AuditTrail
from gateway.bootstrap.dependencies import build_dependencies
from gateway.bootstrap.dispatching import build_dispatching
from gateway.bootstrap.features import (
    build_callbacks,
    build_dags,
    build_dead_letters,
    build_schedules,
    build_tenants,
)
from gateway.bootstrap.migration import build_migration, build_previews
from gateway.dispatch.priority_check import Capabilities
from gateway.fleet.fleet import Fleet
from gateway.gateway import Gateway
from gateway.limits.held_bytes import HeldBytes
from gateway.migration.ledger.explanation import Explanations
from gateway.migration.ledger.flip_log import FlipLog
from gateway.migration.plans.checking import PlanChecker
from gateway.migration.plans.plans import Plans
from gateway.migration.rehearsal.report import RehearsalReports
from gateway.news.watch import NewsWatch
from gateway.observability.fleet_metrics import FleetMetrics
from gateway.observability.process_metrics import observe_process
from gateway.operations.operations import Operations
from gateway.operations.runner import OperationRunner
from gateway.overview.overview import Overview
from gateway.settings import Settings
from gateway.tasks import fault_points
from gateway.tasks.changes.any_task import AnyTaskWatch
from gateway.tasks.changes.feed import ChangeFeed
from gateway.tasks.queries.task_log import TaskLog

__all__ = ["Gateway", "build_gateway"]


def build_gateway(settings: Settings, *, engines: Mapping[str, WorkflowEnginePort] | None = None) -> Gateway:
    """Wire a gateway; `engines` replaces the configured ones (unit tests). No I/O."""
    fault_points.arm(settings.fault_point)
    dependencies = build_dependencies(settings, engines)
    database = dependencies.database
    dispatching = build_dispatching(dependencies)
    task_log, operations = TaskLog(database), Operations(database)
    callbacks = build_callbacks(dependencies)
    letters = build_dead_letters(dependencies, operations)
    schedules = build_schedules(dependencies, dispatching, task_log, callbacks)
    dags = build_dags(dependencies, dispatching)
    tenants = build_tenants(dependencies, dispatching)
    migration = build_migration(dependencies)
    plans = Plans(database, PlanChecker(dependencies.sandbox))
    gateway = Gateway(
        settings=settings,
        database=database,
        engines=dependencies.engines,
        flags=dependencies.flags,
        overrides=dependencies.overrides,
        observer=dependencies.observer,
        router=dependencies.router,
        flip_log=FlipLog(database),
        explanations=Explanations(database, dependencies.router),
        access=dependencies.access,
        sessions=dependencies.sessions,
        key_ring=KeyRing(database),
        audit_trail=AuditTrail(database, settings.audit_source),
        notifier=dependencies.notifier,
        arrivals=dependencies.arrivals,
        lease=dependencies.lease,
        task_log=task_log,
        listener=dependencies.listener,
        feed=ChangeFeed(dependencies.listener, task_log),
        any_task_watch=AnyTaskWatch(dependencies.listener, dependencies.arrivals),
        news_watch=NewsWatch(database, dependencies.listener),
        teller=callbacks.teller,
        capabilities=Capabilities(database, dependencies.engines, dependencies.router),
        fleet=Fleet(database, lease_seconds=settings.lease_seconds),
        overview=Overview(database, dependencies.engines, dependencies.router, tenants.pauses),
        transitions=dispatching.transitions,
        dispatcher=dispatching.dispatcher,
        intake=dispatching.intake,
        duties=dispatching.duties,
        leader=dispatching.leader,
        queues=dispatching.queues,
        task_limits=dispatching.limits,
        quotas=dispatching.quotas,
        callback_rules=callbacks.rules,
        deliverer=callbacks.deliverer,
        deliveries=callbacks.deliveries,
        tenant_secrets=callbacks.secrets,
        dead_letters=letters.archive,
        collector=letters.collector,
        redriver=letters.redriver,
        redrive_operations=letters.operations,
        operations=operations,
        operation_runner=OperationRunner(
            database,
            tuple(dependencies.engines.values()),
            dispatching.transitions,
            dependencies.notifier,
            wake_dispatcher=dispatching.dispatcher.wake,
            cancel_soon=dispatching.duties.wake,
            letters=letters.operations,
        ),
        clock=schedules.clock,
        schedules=schedules.schedules,
        dags=dags.store,
        dag_runs=dags.runs,
        run_documents=dags.documents,
        run_watch=dags.watch,
        run_notifier=dags.run_notifier,
        tenants=tenants.tenants,
        pauses=tenants.pauses,
        tier_mover=tenants.mover,
        tenant_service=tenants.service,
        held=HeldBytes(in_all=settings.max_held_bytes, per_key=settings.max_held_bytes_per_key),
        stages=migration.stages,
        stage_watch=migration.stage_watch,
        drain=migration.drain,
        drain_watch=migration.drain_watch,
        telemetry=dependencies.telemetry,
        scrapers=RememberedKeys(dependencies.access),
        fleet_metrics=FleetMetrics(
            dependencies.telemetry.metrics.meter, database, dependencies.router, dependencies.access
        ),
        rehearsals=RehearsalReports(database, dependencies.router),
        parity=migration.parity,
        parity_watch=migration.parity_watch,
        parity_gate=migration.parity_gate,
        guardrails=migration.guardrails,
        guardrail_watch=migration.guardrail_watch,
        plans=plans,
        previews=build_previews(dependencies, migration.stages, plans, dispatching.start_check),
        sandbox=dependencies.sandbox,
    )
    observe_process(
        dependencies.telemetry.metrics.meter,
        streams={
            "task": lambda: gateway.feed.subscriptions,
            "tasks": lambda: gateway.any_task_watch.subscriptions,
            "dag run": lambda: gateway.run_watch.subscriptions,
            "stages": lambda: gateway.stage_watch.subscriptions,
            "news": lambda: gateway.news_watch.subscriptions,
            "drain": lambda: gateway.drain_watch.subscriptions,
            "parity": lambda: gateway.parity_watch.subscriptions,
        },
        connections=database.connections,
        leads=lambda: gateway.leader.leads,
        jobs=lambda: gateway.leader.ages,
    )
    return gateway
