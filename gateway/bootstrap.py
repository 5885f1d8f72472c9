"""The one composition root: every face and command builds its parts here, and only here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version as package_version
from typing import Any

from backends.port import Capability, RetryPolicy, WorkflowEnginePort
from backends.redis_queue.engine import RedisQueueEngine
from backends.redis_queue.wire import TYPES
from backends.temporal.engine import TemporalEngine
from gateway import faults
from gateway.access.access import Access
from gateway.access.on_behalf import OnBehalf
from gateway.callbacks.address import CallbackRules
from gateway.callbacks.deliverer import Deliverer, Patience
from gateway.callbacks.deliveries import Deliveries
from gateway.callbacks.sending import Sender
from gateway.callbacks.tenant_secrets import TenantSecrets
from gateway.dags.conductor import Conductor
from gateway.dags.limits import Limits
from gateway.dags.run_document import RunDocuments
from gateway.dags.runs import DagRuns
from gateway.dags.store import DagStore
from gateway.dags.watch import RunWatch
from gateway.dags.workflows import Workflows
from gateway.db import Database
from gateway.dead_letters.archive import DeadLetters
from gateway.dead_letters.keeper import Keeper
from gateway.dead_letters.operation import RedriveOperations
from gateway.dead_letters.payloads import PayloadRedriver
from gateway.dead_letters.redaction import Redaction
from gateway.dead_letters.redrive import Redriver
from gateway.dispatch.abilities import Abilities
from gateway.dispatch.bridge import Bridge
from gateway.dispatch.caretaker import Canceller, Caretaker
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.queues import QueueNames
from gateway.dispatch.reaper import Reaper
from gateway.dispatch.reconciler import Reconciler
from gateway.fleet.fleet import Fleet
from gateway.intake import Intake
from gateway.limits.gate import Gate
from gateway.limits.limits import Limits as TaskLimits
from gateway.limits.pauses import Pauses
from gateway.limits.quotas import Quotas
from gateway.operations.operations import Operations
from gateway.operations.runner import OperationRunner
from gateway.routing.flags import FlagSource
from gateway.routing.overrides import Overrides
from gateway.routing.router import Router
from gateway.schedules.clock import Clock
from gateway.schedules.schedules import Schedules
from gateway.settings import Settings
from gateway.status.dispatch_view import DispatchView
from gateway.status.feed import ChangeFeed
from gateway.status.notify import Notifier
from gateway.status.task_log import TaskLog
from gateway.status.transitions import Transitions
from gateway.submission import SubmissionDesk
from gateway.tenants.desk import TenantDesk
from gateway.tenants.tenants import Tenants
from gateway.tenants.tiers import TierMover
from workers.lease import Lease, ProcessIdentity
from workers.submit import WaitingLauncher

log = logging.getLogger(__name__)

#: The start-to-close limit of types whose handlers the gateway does not know; workers enforce the handler's own.
UNKNOWN_TYPE_TIMEOUT = timedelta(hours=24)


def taskgate_version() -> str:
    return package_version("taskgate")


def build_engines(settings: Settings) -> dict[str, WorkflowEnginePort]:
    """An engine per configured backend; none connects before it is used."""
    engines: dict[str, WorkflowEnginePort] = {}
    if settings.redis_url:
        engines["redis"] = RedisQueueEngine(settings.redis_url, timeout=settings.start_timeout_seconds)
    if settings.temporal_address:
        engines["temporal"] = TemporalEngine(
            settings.temporal_address,
            settings.temporal_namespace,
            tls=settings.temporal_tls,
            timeout=settings.start_timeout_seconds,
            inline_payload_bytes=settings.temporal_inline_payload_bytes,
            standalone=settings.temporal_standalone_activities,
            heartbeat=timedelta(seconds=settings.temporal_heartbeat_seconds),
        )
    return engines


def build_flags(settings: Settings) -> FlagSource:
    """LaunchDarkly with an SDK key, else the flag file, else `off` for everybody."""
    key = settings.launchdarkly_sdk_key
    return FlagSource(
        flag_key=settings.flag_key,
        file=settings.flags_file,
        sdk_key=key.get_secret_value() if key else None,
        base_url=settings.launchdarkly_base_url,
    )


def build_deliverer(settings: Settings, database: Database, rules: CallbackRules) -> Deliverer:
    """What sends callbacks; it connects to nobody before there is one."""
    timeout = settings.callback_timeout_seconds
    return Deliverer(
        database,
        Sender(rules, timeout=timeout, ca_file=settings.callback_ca_file),
        patience=Patience(
            settings.callback_attempts, settings.callback_retry_seconds, settings.callback_longest_retry_seconds
        ),
        timeout=timeout,
        seconds=settings.callback_seconds,
        concurrency=settings.callback_concurrency,
        keep_days=settings.callback_days,
        keep_dead_days=settings.dead_letter_days,
    )


def timeout_of(task_type: str) -> timedelta:
    """How long a task of this type may run (contract §5)."""
    known = TYPES.get(task_type)
    return UNKNOWN_TYPE_TIMEOUT if known is None else known.timeout


@dataclass
class Gateway:
    """The parts of one gateway process, wired; `start` and `close` bracket its life."""

    settings: Settings
    database: Database
    engines: Mapping[str, WorkflowEnginePort]
    flags: FlagSource
    overrides: Overrides
    router: Router
    access: Access
    notifier: Notifier
    transitions: Transitions
    task_log: TaskLog
    feed: ChangeFeed
    dispatcher: Dispatcher
    intake: Intake
    canceller: Canceller
    caretaker: Caretaker
    bridge: Bridge | None
    queues: QueueNames
    dags: DagStore
    dag_runs: DagRuns
    run_documents: RunDocuments
    run_watch: RunWatch
    conductor: Conductor
    lease: Lease
    callback_rules: CallbackRules
    abilities: Abilities
    fleet: Fleet
    deliverer: Deliverer
    deliveries: Deliveries
    tenant_secrets: TenantSecrets
    dead_letters: DeadLetters
    redriver: Redriver
    keeper: Keeper
    clock: Clock
    schedules: Schedules
    operations: Operations
    operation_runner: OperationRunner
    redrive_operations: RedriveOperations
    task_limits: TaskLimits
    quotas: Quotas
    pauses: Pauses
    tenants: Tenants
    tier_mover: TierMover
    tenant_desk: TenantDesk
    _loops: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Begin to work. PostgreSQL, engines and flag service may be away: what needs them waits for them."""
        await self.flags.start()
        await self.overrides.start()
        await self.feed.start()
        self._spawn("lease", self._hold_lease)
        self._spawn("dispatcher", self.dispatcher.run)
        self._spawn("canceller", self.canceller.run)
        self._spawn("caretaker", self.caretaker.run)
        self._spawn("clock", self.clock.run)
        self._spawn("queues", self.queues.run)
        self._spawn("conductor", self.conductor.run)
        self._spawn("limits", self.task_limits.run)
        self._spawn("tiers", self.tier_mover.run)
        self._spawn("operations", self.operation_runner.run)
        self._spawn("dead letters", self.keeper.run)
        self._spawn("callbacks", self.deliverer.run)

    async def close(self) -> None:
        """End in order: no new starts, streams closed, lease given back, connections last."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self.dispatcher.close()
        await self.deliverer.close()
        self.run_watch.end_streams()
        self.task_log.close()
        await self.feed.close()
        await self.overrides.close()
        with contextlib.suppress(Exception):
            await self.notifier.close()
        await self.access.close()
        await self.lease.close()
        for engine in self.engines.values():
            await engine.close()
        await self.flags.close()
        await self.database.close()

    async def _hold_lease(self) -> None:
        await self.lease.start()

    def _spawn(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._loops.append(asyncio.create_task(self._keep_running(name, run), name=name))

    async def _keep_running(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """A loop that fails is a bug; it is logged and runs again rather than leaving the gateway half alive."""
        while True:
            try:
                await run()
            except Exception:
                log.exception("%s failed; it starts again", name)
                await asyncio.sleep(1)
            else:
                return


def build_gateway(settings: Settings, *, engines: Mapping[str, WorkflowEnginePort] | None = None) -> Gateway:
    """Wire a gateway; `engines` replaces the configured ones (unit tests). No I/O."""
    faults.arm(settings.fault_point)
    database = Database(settings.database_url, size=settings.database_pool_size)
    if engines is None:
        engines = build_engines(settings)
    flags = build_flags(settings)
    overrides = Overrides(database)
    router = Router(flags, overrides, configured=frozenset(engines))
    notifier = Notifier(database)
    lease = Lease(settings.database_url, ProcessIdentity("gateway", taskgate_version()), limit=settings.lease_seconds)
    queues = QueueNames(database, known=frozenset(TYPES))
    retry = RetryPolicy(attempts=settings.task_attempts)
    fenced = [name for name, engine in engines.items() if Capability.FENCED in engine.capabilities]
    task_limits = TaskLimits(database, recallable=fenced)
    quotas = Quotas(database, task_limits)
    pauses, tenants = Pauses(database, task_limits), Tenants(database)
    dispatcher = Dispatcher(
        database,
        engines,
        router,
        owner_id=lambda: lease.process_id,
        name_queue=queues.name,
        timeout_of=timeout_of,
        retry=retry,
        gate=Gate(task_limits),
        concurrency=settings.dispatch_concurrency,
        sweep_seconds=settings.dispatch_sweep_seconds,
        fallback_seconds=settings.fallback_seconds,
        record_flag=lambda flag, backend, latency, failed: flags.record(flag, backend, latency, failed=failed),
        name_workflow=Workflows(settings.episode_dag_tenants).name,
    )
    canceller = Canceller(database, engines)
    task_limits.wake, task_limits.cancel_soon = dispatcher.wake, canceller.wake
    tier_mover = TierMover(database, fenced, wake_dispatcher=dispatcher.wake, cancel_soon=canceller.wake)
    transitions = Transitions(
        database, notifier, max_attempts=settings.task_attempts, retry=retry, on_stop=canceller.wake
    )
    task_log = TaskLog(database)
    reaper = Reaper(
        database,
        engines,
        notifier,
        limit=settings.lease_seconds,
        grace=settings.lease_grace_seconds,
        losses=settings.task_losses,
        wake=dispatcher.wake,
        on_over=canceller.wake,
    )
    redis = engines.get("redis")
    bridge = None
    if isinstance(redis, RedisQueueEngine):
        bridge = Bridge(
            database,
            redis.ingress,
            router,
            notifier,
            enabled=settings.ingress_bridge,
            max_attempts=settings.task_attempts,
            wake=dispatcher.wake,
        )
    callback_rules = CallbackRules(settings.callback_allow_private, tuple(settings.callback_networks))
    deliverer = build_deliverer(settings, database, callback_rules)
    letters = DeadLetters(database, Redaction.of(settings.redact))
    keeper = Keeper(
        database,
        redis.dead if isinstance(redis, RedisQueueEngine) else None,
        letters,
        seconds=settings.dead_letter_seconds,
        days=settings.dead_letter_days,
    )
    payloads = PayloadRedriver(
        database,
        Intake(
            database,
            WaitingLauncher(database),
            max_attempts=settings.task_attempts,
            idempotency_hours=settings.idempotency_hours,
        ),
        router,
        max_payload_bytes=settings.max_body_bytes,
    )
    redriver = Redriver(database, letters, payloads, router, notifier, max_payload_bytes=settings.max_body_bytes)
    operations = Operations(database)
    redrive_operations = RedriveOperations(operations, letters, redriver)
    access = Access(database)
    intake = Intake(
        database,
        dispatcher,
        max_attempts=settings.task_attempts,
        idempotency_hours=settings.idempotency_hours,
        quotas=quotas,
    )
    clock = Clock(
        database,
        intake,
        transitions,
        lambda user_id: SubmissionDesk(
            OnBehalf(access, user_id), task_log, DispatchView(database), None, callback_rules
        ),
        sweep_seconds=settings.dispatch_sweep_seconds,
        history_days=settings.schedule_history_days,
    )
    limits = Limits.of(settings)
    dags = DagStore(database, limits, known_types=TYPES)
    dag_runs = DagRuns(
        database, dags, intake, transitions, router, engines, notifier, limits, told_to_stop=canceller.wake
    )
    run_watch = RunWatch(database)
    reconciler = Reconciler(database, engines, notifier, is_down=dispatcher.is_down, wake=dispatcher.wake)
    return Gateway(
        settings=settings,
        database=database,
        engines=engines,
        flags=flags,
        overrides=overrides,
        router=router,
        access=access,
        notifier=notifier,
        transitions=transitions,
        task_log=task_log,
        feed=ChangeFeed(database, task_log),
        dispatcher=dispatcher,
        intake=intake,
        canceller=canceller,
        caretaker=Caretaker(
            database,
            reaper,
            reconciler,
            transitions,
            reap_seconds=settings.reap_seconds,
            reconcile_seconds=settings.reconcile_seconds,
            idempotency_hours=settings.idempotency_hours,
            bridge=bridge,
            bridge_seconds=settings.ingress_bridge_seconds,
        ),
        bridge=bridge,
        queues=queues,
        dags=dags,
        dag_runs=dag_runs,
        run_documents=RunDocuments(database, dag_runs, dags),
        run_watch=run_watch,
        conductor=Conductor(database, engines, notifier, run_watch, told_to_stop=canceller.wake),
        lease=lease,
        clock=clock,
        schedules=Schedules(database, clock, most_of_tenant=settings.schedules_per_tenant),
        callback_rules=callback_rules,
        abilities=Abilities(database, engines, router),
        deliverer=deliverer,
        deliveries=Deliveries(database, deliverer.wake),
        tenant_secrets=TenantSecrets(database, deliverer.wake),
        fleet=Fleet(database),
        operations=operations,
        redrive_operations=redrive_operations,
        task_limits=task_limits,
        quotas=quotas,
        pauses=pauses,
        tenants=tenants,
        tier_mover=tier_mover,
        tenant_desk=TenantDesk(tenants, quotas, pauses, router, task_limits, tier_mover),
        operation_runner=OperationRunner(
            database,
            tuple(engines.values()),
            transitions,
            notifier,
            wake_dispatcher=dispatcher.wake,
            cancel_soon=canceller.wake,
            letters=redrive_operations,
        ),
        dead_letters=letters,
        redriver=redriver,
        keeper=keeper,
    )
