"""Builds the parts from intake to engine: they accept, start, stop and recover tasks, and apply limits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from backends.redis_queue.wire import TYPES
from gateway.bootstrap.dependencies import Dependencies
from gateway.bootstrap.recovery import build_leader
from gateway.bootstrap.rehearsal import build_rehearsal, build_start_check
from gateway.bootstrap.telemetry import engines_to_start_on
from gateway.dags.workflows import Workflows
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.engine_start import StartBuilder
from gateway.dispatch.planner import Planner
from gateway.dispatch.queues import QueueNames
from gateway.dispatch.starter import Starter
from gateway.limits.gate import Gate
from gateway.limits.limits import Limits
from gateway.limits.quotas import Quotas
from gateway.migration.rehearsal.start_check import StartCheck
from gateway.recovery.duties import EngineDuties
from gateway.recovery.leader import Leader
from gateway.submission.intake import Intake
from gateway.submission.new_task import NewTask
from gateway.submission.start_plan import DispatcherPort, StartPlan, no_trace
from gateway.tasks.lifecycle.transitions import Transitions


@dataclass(frozen=True)
class Dispatching:
    """`limits` and `quotas` hold tasks back; the `duties` are what engines have to be told; the `leader` looks after
    what the others left.
    """

    limits: Limits
    quotas: Quotas
    queues: QueueNames
    dispatcher: Dispatcher
    duties: EngineDuties
    transitions: Transitions
    intake: Intake
    leader: Leader
    start_check: StartCheck


def build_dispatching(dependencies: Dependencies) -> Dispatching:
    settings, database = dependencies.settings, dependencies.database
    limits = Limits(database, dependencies.listener, recallable=dependencies.fenced)
    quotas = Quotas(database, limits)
    queues = QueueNames(database, known=frozenset(TYPES))
    gate, starts = Gate(limits), StartBuilder(queues.name, settings.retry_policy)
    dispatcher = _dispatcher(dependencies, starts, gate)
    check = build_start_check(dependencies, starts, gate)
    duties = EngineDuties(database, dependencies.engines, wake_dispatcher=dispatcher.wake)
    limits.wake, limits.cancel_soon = dispatcher.wake, duties.wake
    transitions = Transitions(database, dependencies.notifier, retry=settings.retry_policy, on_stop=duties.wake)
    return Dispatching(
        limits=limits,
        quotas=quotas,
        queues=queues,
        dispatcher=dispatcher,
        duties=duties,
        transitions=transitions,
        intake=build_intake(dependencies, dispatcher, quotas),
        leader=build_leader(
            dependencies, dispatcher, duties, lambda leading: build_rehearsal(dependencies, check, leading)
        ),
        start_check=check,
    )


def build_intake(dependencies: Dependencies, dispatcher: DispatcherPort, quotas: Quotas | None = None) -> Intake:
    """The intake of this dispatcher."""
    tracing, note = dependencies.telemetry.tracing, dependencies.telemetry.tasks.accepted

    def on_accepted(tasks: Sequence[NewTask], plans: Sequence[StartPlan]) -> None:
        note(tasks, plans)
        for task in tasks:
            dependencies.arrivals.tell(task.task_id)

    return Intake(
        dependencies.database,
        dispatcher,
        max_attempts=dependencies.settings.task_attempts,
        idempotency_hours=dependencies.settings.idempotency_hours,
        quotas=quotas,
        on_accepted=on_accepted,
        trace=no_trace if tracing is None else tracing.create,
    )


def _dispatcher(dependencies: Dependencies, starts: StartBuilder, gate: Gate) -> Dispatcher:
    settings, flags, lease, wanted = dependencies.settings, dependencies.flags, dependencies.lease, asyncio.Event()
    starter = Starter(
        dependencies.database,
        engines_to_start_on(dependencies.engines, dependencies.telemetry),
        owner_id=lambda: lease.process_id,
        concurrency=settings.dispatch_concurrency,
        fallback_seconds=settings.fallback_seconds,
        record_flag=lambda flag, backend, latency, failed: flags.record(flag, backend, latency, failed=failed),
        wake=wanted.set,
        ended=dependencies.arrivals.tell,
    )
    planner = Planner(
        starter.lanes,
        dependencies.router,
        gate,
        starts,
        gives_up_on=starter.gives_up_on,
        name_workflow=Workflows(settings.episode_dag_tenants).name,
    )
    return Dispatcher(
        dependencies.database,
        dependencies.listener,
        starter,
        planner,
        gate,
        wanted,
        owner_id=lambda: lease.process_id,
        sweep_seconds=settings.dispatch_sweep_seconds,
    )
