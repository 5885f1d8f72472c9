"""A builder for each feature on top of dispatching: callbacks, dead letters, schedules, DAGs, tenants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from backends.redis_queue.wire import TYPES
from gateway.access.on_behalf import OnBehalf
from gateway.bootstrap.dependencies import Dependencies
from gateway.bootstrap.dispatching import Dispatching, build_intake
from gateway.callbacks.address import CallbackRules
from gateway.callbacks.deliverer import Deliverer, Patience, untraced
from gateway.callbacks.deliveries import Deliveries
from gateway.callbacks.ports import ports_of
from gateway.callbacks.sending import Sender
from gateway.callbacks.tenant_secrets import TenantSecrets
from gateway.dags.limits import Limits
from gateway.dags.run_document import RunDocuments
from gateway.dags.run_notifier import RunNotifier
from gateway.dags.runs import DagRuns
from gateway.dags.store import DagStore
from gateway.dags.watch import RunWatch
from gateway.dead_letters.archive import DeadLetters
from gateway.dead_letters.collector import DeadLetterCollector
from gateway.dead_letters.operation import RedriveOperations
from gateway.dead_letters.payloads import PayloadRedriver
from gateway.dead_letters.redrive import Redriver
from gateway.limits.pauses import Pauses
from gateway.news.piece import Topic
from gateway.news.teller import Teller
from gateway.operations.operations import Operations
from gateway.schedules.firing_loop import FiringLoop
from gateway.schedules.schedules import Schedules
from gateway.submission.deferring_dispatcher import DeferringDispatcher
from gateway.submission.service import SubmissionService
from gateway.tasks.queries.dispatch_view import DispatchView
from gateway.tasks.queries.task_log import TaskLog
from gateway.tasks.redaction import Redaction
from gateway.tenants.service import TenantService
from gateway.tenants.tenants import Tenants
from gateway.tenants.tiers import TierMover


@dataclass(frozen=True)
class CallbackParts:
    """Which addresses are called, what calls them and tells of it, and what its callers read and set."""

    rules: CallbackRules
    deliverer: Deliverer
    teller: Teller
    deliveries: Deliveries
    secrets: TenantSecrets


def build_callbacks(dependencies: Dependencies) -> CallbackParts:
    """The deliverer connects to nobody before there is a callback."""
    tracing = dependencies.telemetry.tracing
    settings, timeout = dependencies.settings, dependencies.settings.callback_timeout_seconds
    rules = CallbackRules(
        settings.callback_allow_private, tuple(settings.callback_networks), ports_of(settings.callback_ports)
    )
    teller = Teller(dependencies.database)
    deliverer = Deliverer(
        dependencies.database,
        Sender(
            rules, timeout=timeout, lookup_seconds=settings.callback_lookup_seconds, ca_file=settings.callback_ca_file
        ),
        patience=Patience(
            settings.callback_attempts, settings.callback_retry_seconds, settings.callback_longest_retry_seconds
        ),
        timeout=timeout,
        seconds=settings.callback_seconds,
        concurrency=settings.callback_concurrency,
        keep_days=settings.callback_days,
        keep_dead_days=settings.dead_letter_days,
        traced=untraced if tracing is None else tracing.callback,
        told=partial(teller.tell, Topic.CALLBACK),
        operators_secret=settings.follow("guardrail_webhook_secret") if settings.guardrail_webhook_secret else None,
    )
    return CallbackParts(
        rules,
        deliverer,
        teller,
        Deliveries(dependencies.database, deliverer.wake),
        TenantSecrets(dependencies.database, deliverer.wake),
    )


@dataclass(frozen=True)
class DeadLetterParts:
    """Where dead letters are kept, who keeps them, and how they are sent again: one by one, or by an operation."""

    archive: DeadLetters
    collector: DeadLetterCollector
    redriver: Redriver
    operations: RedriveOperations


def build_dead_letters(dependencies: Dependencies, operations: Operations) -> DeadLetterParts:
    settings, database, redis = dependencies.settings, dependencies.database, dependencies.redis
    archive = DeadLetters(database, Redaction.of(settings.redact), dependencies.sandbox)
    payloads = PayloadRedriver(
        database,
        build_intake(dependencies, DeferringDispatcher(database)),
        dependencies.router,
        max_payload_bytes=settings.max_body_bytes,
    )
    redriver = Redriver(
        database,
        archive,
        payloads,
        dependencies.router,
        dependencies.notifier,
        max_payload_bytes=settings.max_body_bytes,
    )
    collector = DeadLetterCollector(
        database,
        None if redis is None else redis.dead,
        archive,
        seconds=settings.dead_letter_seconds,
        days=settings.dead_letter_days,
    )
    return DeadLetterParts(archive, collector, redriver, RedriveOperations(operations, archive, redriver))


@dataclass(frozen=True)
class ScheduleParts:
    """The definitions, and the clock that fires them."""

    clock: FiringLoop
    schedules: Schedules


def build_schedules(
    dependencies: Dependencies, dispatching: Dispatching, task_log: TaskLog, callbacks: CallbackParts
) -> ScheduleParts:
    settings, database, access = dependencies.settings, dependencies.database, dependencies.access
    clock = FiringLoop(
        database,
        dispatching.intake,
        dispatching.transitions,
        lambda user_id: SubmissionService(
            OnBehalf(access, user_id), task_log, DispatchView(database), None, callbacks.rules
        ),
        sweep_seconds=settings.dispatch_sweep_seconds,
    )
    return ScheduleParts(clock, Schedules(database, clock, most_of_tenant=settings.schedules_per_tenant))


@dataclass(frozen=True)
class DagParts:
    """Definitions, their runs and what is read of those; the run_notifier begins and stops them at the engine."""

    store: DagStore
    runs: DagRuns
    documents: RunDocuments
    watch: RunWatch
    run_notifier: RunNotifier


def build_dags(dependencies: Dependencies, dispatching: Dispatching) -> DagParts:
    database, limits, on_stop = dependencies.database, Limits.of(dependencies.settings), dispatching.duties.wake
    store, watch = DagStore(database, limits, known_types=TYPES), RunWatch(database)
    runs = DagRuns(
        database,
        store,
        dispatching.intake,
        dispatching.transitions,
        dependencies.router,
        dependencies.engines,
        dependencies.notifier,
        limits,
        on_stop=on_stop,
    )
    return DagParts(
        store,
        runs,
        RunDocuments(database, runs, store),
        watch,
        RunNotifier(
            database, dependencies.listener, dependencies.engines, dependencies.notifier, watch, on_stop=on_stop
        ),
    )


@dataclass(frozen=True)
class TenantParts:
    """Tenants, what holds their tasks, what moves those to another tier, and the service where that is changed."""

    tenants: Tenants
    pauses: Pauses
    mover: TierMover
    service: TenantService


def build_tenants(dependencies: Dependencies, dispatching: Dispatching) -> TenantParts:
    database, limits = dependencies.database, dispatching.limits
    tenants, pauses = Tenants(database), Pauses(database, limits)
    mover = TierMover(
        database,
        dependencies.fenced,
        wake_dispatcher=dispatching.dispatcher.wake,
        cancel_soon=dispatching.duties.wake,
    )
    service = TenantService(tenants, dispatching.quotas, pauses, dependencies.router, limits, mover)
    return TenantParts(tenants, pauses, mover, service)
