"""One gateway process: the parts it is made of, and its life from start to close."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from backends.errors import EngineError
from backends.port import WorkflowEnginePort
from gateway.access.access import Access
from gateway.access.key_ring import KeyRing
from gateway.access.remembered import RememberedKeys
from gateway.access.sessions import Sessions
from gateway.audit.reading import AuditTrail
from gateway.callbacks.address import CallbackRules
from gateway.callbacks.deliverer import Deliverer
from gateway.callbacks.deliveries import Deliveries
from gateway.callbacks.tenant_secrets import TenantSecrets
from gateway.dags.run_document import RunDocuments
from gateway.dags.run_notifier import RunNotifier
from gateway.dags.runs import DagRuns
from gateway.dags.store import DagStore
from gateway.dags.watch import RunWatch
from gateway.dead_letters.archive import DeadLetters
from gateway.dead_letters.collector import DeadLetterCollector
from gateway.dead_letters.operation import RedriveOperations
from gateway.dead_letters.redrive import Redriver
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.priority_check import Capabilities
from gateway.dispatch.queues import QueueNames
from gateway.fleet.fleet import Fleet
from gateway.limits.held_bytes import HeldBytes
from gateway.limits.limits import Limits as TaskLimits
from gateway.limits.pauses import Pauses
from gateway.limits.quotas import Quotas
from gateway.migration.drain.report import Drain
from gateway.migration.drain.watch import DrainWatch
from gateway.migration.guardrails.guardrails import Guardrails
from gateway.migration.guardrails.watch import GuardrailWatch
from gateway.migration.ledger.explanation import Explanations
from gateway.migration.ledger.flip_log import FlipLog
from gateway.migration.ledger.observer import RoutingObserver
from gateway.migration.parity.gate import Gate
from gateway.migration.parity.parity import Parity
from gateway.migration.parity.watch import ParityWatch
from gateway.migration.plans.plans import Plans
from gateway.migration.preview.preview import Previews
from gateway.migration.rehearsal.report import RehearsalReports
from gateway.migration.stages.service import StageService
from gateway.migration.stages.watch import StageWatch
from gateway.news.teller import Teller
from gateway.news.watch import NewsWatch
from gateway.observability.fleet_metrics import FleetMetrics
from gateway.observability.telemetry import Telemetry
from gateway.operations.operations import Operations
from gateway.operations.runner import OperationRunner
from gateway.overview.overview import Overview
from gateway.recovery.duties import EngineDuties
from gateway.recovery.leader import Leader
from gateway.recovery.lease import Lease
from gateway.routing.flags import FlagSource
from gateway.routing.overrides import Overrides
from gateway.routing.router import Router
from gateway.sandbox.pool import Sandbox
from gateway.schedules.firing_loop import FiringLoop
from gateway.schedules.schedules import Schedules
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.listener import Listener
from gateway.submission.intake import Intake
from gateway.tasks.changes.any_task import AnyTaskWatch
from gateway.tasks.changes.arrivals import Arrivals
from gateway.tasks.changes.feed import ChangeFeed
from gateway.tasks.changes.notifier import Notifier
from gateway.tasks.lifecycle.transitions import Transitions
from gateway.tasks.queries.task_log import TaskLog
from gateway.tenants.service import TenantService
from gateway.tenants.tenants import Tenants
from gateway.tenants.tiers import TierMover

log = logging.getLogger(__name__)

#: Pause between two readings of the fleet's metrics, while they are sent over OTLP (seconds).
REFRESH_SECONDS = 10.0


@dataclass
class Gateway:
    """The parts of one gateway process, wired; `start` and `close` bracket its life."""

    settings: Settings
    database: Database
    listener: Listener
    engines: Mapping[str, WorkflowEnginePort]
    flags: FlagSource
    overrides: Overrides
    observer: RoutingObserver
    router: Router
    flip_log: FlipLog
    explanations: Explanations
    access: Access
    sessions: Sessions
    key_ring: KeyRing
    audit_trail: AuditTrail
    notifier: Notifier
    arrivals: Arrivals
    transitions: Transitions
    task_log: TaskLog
    feed: ChangeFeed
    any_task_watch: AnyTaskWatch
    news_watch: NewsWatch
    teller: Teller
    dispatcher: Dispatcher
    intake: Intake
    duties: EngineDuties
    leader: Leader
    queues: QueueNames
    dags: DagStore
    dag_runs: DagRuns
    run_documents: RunDocuments
    run_watch: RunWatch
    run_notifier: RunNotifier
    lease: Lease
    callback_rules: CallbackRules
    capabilities: Capabilities
    fleet: Fleet
    overview: Overview
    deliverer: Deliverer
    deliveries: Deliveries
    tenant_secrets: TenantSecrets
    dead_letters: DeadLetters
    redriver: Redriver
    collector: DeadLetterCollector
    clock: FiringLoop
    schedules: Schedules
    operations: Operations
    operation_runner: OperationRunner
    redrive_operations: RedriveOperations
    task_limits: TaskLimits
    quotas: Quotas
    pauses: Pauses
    tenants: Tenants
    tier_mover: TierMover
    tenant_service: TenantService
    stages: StageService
    stage_watch: StageWatch
    drain: Drain
    drain_watch: DrainWatch
    rehearsals: RehearsalReports
    parity: Parity
    parity_watch: ParityWatch
    parity_gate: Gate
    guardrails: Guardrails
    guardrail_watch: GuardrailWatch
    plans: Plans
    previews: Previews
    sandbox: Sandbox
    held: HeldBytes
    telemetry: Telemetry
    fleet_metrics: FleetMetrics
    scrapers: RememberedKeys
    leaving: bool = False
    """It was told to end: it serves, and asks proxies to send requests elsewhere."""
    _loops: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Begin to work. PostgreSQL, engines and flag service may be away: what needs them waits for them."""
        await self.flags.start()
        await self.observer.start()
        await self.overrides.start()
        await self.feed.start()
        self._spawn("arrivals", self.arrivals.run)
        self._spawn("news", self.news_watch.run)
        self._spawn("guardrail events", self.guardrail_watch.run)
        self._spawn("backends", self._say_what_is_away)
        self._spawn("lease", self._hold_lease)
        self._spawn("dispatcher", self.dispatcher.run)
        self._spawn("duties", self.duties.run)
        self._spawn("leader", self.leader.run)
        self._spawn("clock", self.clock.run)
        self._spawn("queues", self.queues.run)
        self._spawn("run_notifier", self.run_notifier.run)
        self._spawn("limits", self.task_limits.run)
        self._spawn("tiers", self.tier_mover.run)
        self._spawn("operations", self.operation_runner.run)
        self._spawn("dead letters", self.collector.run)
        self._spawn("callbacks", self.deliverer.run)
        if self.settings.metrics_otlp:
            self._spawn("metrics", self._refresh_metrics)

    async def close(self) -> None:
        """End in order: no new starts, streams closed, lease given back, connections last."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self.dispatcher.close()
        await self.deliverer.close()
        await self.teller.close()
        self.any_task_watch.end_streams()
        self.news_watch.end_streams()
        self.run_watch.end_streams()
        self.stage_watch.end_streams()
        self.drain_watch.end_streams()
        self.parity_watch.end_streams()
        self.task_log.close()
        await self.fleet_metrics.close()
        await self.feed.close()
        await self.overrides.close()
        await self.observer.close()
        await self.listener.close()
        for last_words in (self.notifier, self.arrivals):
            with contextlib.suppress(Exception):
                await last_words.close()
        await self.access.close()
        await self.dags.close()
        await self.sandbox.close()
        await self.previews.close()
        await self.lease.close()
        for engine in self.engines.values():
            await engine.close()
        await self.flags.close()
        await self.database.close()
        await asyncio.to_thread(self.telemetry.close)

    async def _say_what_is_away(self) -> None:
        """Later on, the dispatcher says so of backends that it needs."""
        for name, engine in self.engines.items():
            try:
                await engine.check_health()
            except EngineError as error:
                log.warning("tasks on %s wait until it is there: %s", name, error.message)

    async def _hold_lease(self) -> None:
        await self.lease.start()

    async def _refresh_metrics(self) -> None:
        """What is sent over OTLP shows the fleet as a scrape does."""
        while True:
            await self.fleet_metrics.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

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
