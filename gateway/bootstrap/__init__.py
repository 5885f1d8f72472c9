"""The one composition root: every face and command builds its parts here, and only here."""

from __future__ import annotations

from collections.abc import Mapping

from backends.port import WorkflowEnginePort
from gateway.bootstrap.dependencies import build_ground
from gateway.bootstrap.dispatching import build_dispatching
from gateway.bootstrap.features import (
    build_callbacks,
    build_dags,
    build_dead_letters,
    build_schedules,
    build_tenants,
)
from gateway.dispatch.capabilities import Capabilities
from gateway.fleet.fleet import Fleet
from gateway.gateway import Gateway
from gateway.operations.operations import Operations
from gateway.operations.runner import OperationRunner
from gateway.sandbox.pool import Sandbox
from gateway.settings import Settings
from gateway.tasks import fault_points
from gateway.tasks.changes.feed import ChangeFeed
from gateway.tasks.queries.task_log import TaskLog

#: Memory of a child that looks at one large request.
_SANDBOX_MEGABYTES = 1024

__all__ = ["Gateway", "build_gateway"]


def build_gateway(settings: Settings, *, engines: Mapping[str, WorkflowEnginePort] | None = None) -> Gateway:
    """Wire a gateway; `engines` replaces the configured ones (unit tests). No I/O."""
    fault_points.arm(settings.fault_point)
    ground = build_ground(settings, engines)
    database = ground.database
    dispatching = build_dispatching(ground)
    task_log, operations = TaskLog(database), Operations(database)
    callbacks = build_callbacks(ground)
    letters = build_dead_letters(ground, operations)
    schedules = build_schedules(ground, dispatching, task_log, callbacks)
    dags = build_dags(ground, dispatching)
    tenants = build_tenants(ground, dispatching)
    return Gateway(
        settings=settings,
        database=database,
        engines=ground.engines,
        flags=ground.flags,
        overrides=ground.overrides,
        router=ground.router,
        access=ground.access,
        notifier=ground.notifier,
        lease=ground.lease,
        task_log=task_log,
        listener=ground.listener,
        feed=ChangeFeed(ground.listener, task_log),
        capabilities=Capabilities(database, ground.engines, ground.router),
        fleet=Fleet(database),
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
        keeper=letters.keeper,
        redriver=letters.redriver,
        redrive_operations=letters.operations,
        operations=operations,
        operation_runner=OperationRunner(
            database,
            tuple(ground.engines.values()),
            dispatching.transitions,
            ground.notifier,
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
        conductor=dags.conductor,
        tenants=tenants.tenants,
        pauses=tenants.pauses,
        tier_mover=tenants.mover,
        tenant_desk=tenants.desk,
        sandbox=Sandbox(megabytes=_SANDBOX_MEGABYTES, preload=("gateway.app",)),
    )
