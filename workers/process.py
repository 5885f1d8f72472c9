"""One worker process: lease, registry, runner, and the worker of its engine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine
from datetime import timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from gateway.errors import DatabaseUnavailable
from gateway.fleet.pools import OWN_QUEUES, plans_served, serves_shared
from gateway.graph.errors import GraphError
from gateway.recovery.guard import GuardLine
from gateway.recovery.lease import Lease, ProcessIdentity
from gateway.running import leave
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks import fault_points
from gateway.tasks.lifecycle.transitions import STOP_CHANNEL
from workers.dependencies import Dependencies
from workers.endings import DRAIN
from workers.execution.isolated import HandlerProcessDied, IsolatedExecution
from workers.handlers.base import TaskRegistry
from workers.handlers.loader import load_registry
from workers.outage_retry import until_stored
from workers.outcome import TaskRunner
from workers.redis_queue.other_types import OtherTypes
from workers.redis_queue.worker import RedisQueueWorker
from workers.rehearsal.rehearsing import Rehearsing
from workers.runner import Runner
from workers.side_loops import forever
from workers.slots import FixedSlots, Slots
from workers.supervisor import DRAINED
from workers.tracing import TracedRunner, settled
from workers.turns import Turns

if TYPE_CHECKING:
    from workers.temporal.pool import TemporalWorkerPool

log = logging.getLogger(__name__)
SQL = Queries("workers", "process.sql")

CHECK_SECONDS = 1.0
TENANT_SECONDS = 2.0


class Worker:
    """Runs the tasks of one backend until `stop`. If it loses its lease, it loses its name and its runs."""

    def __init__(
        self,
        settings: Settings,
        backend: str,
        slots: int | Slots,
        *,
        pool: str | None = None,
        guard: GuardLine | None = None,
    ) -> None:
        fault_points.arm(settings.fault_point)
        self._settings = settings
        self._backend = backend
        self._slots = FixedSlots(slots) if isinstance(slots, int) else slots
        self._pool = pool
        self._guard = guard
        self.stopping = asyncio.Event()
        self.is_drained = False
        """Somebody has marked this worker: it ends, and is not to be replaced."""
        self._lease_lost = asyncio.Event()
        self._clearing: asyncio.Task[None] | None = None
        self._registry: TaskRegistry = load_registry(settings.handler_modules)
        self._dependencies = Dependencies(
            settings, pool_size=settings.database_pool_size, name=f"taskgate worker {backend}", is_listening=True
        )
        tracing = self._dependencies.tracing
        self._db = self._dependencies.database
        # Stops that were missed while nobody listened are found by a check of the claims.
        self._check_soon = asyncio.Event()
        self._listener = self._dependencies.listener
        self._listener.subscribe(STOP_CHANNEL, lambda task_id: self._runner.stop(task_id), missed=self._check_soon.set)
        self._isolated = IsolatedExecution(settings)
        self._rehearsing = Rehearsing(self._isolated)
        identity = ProcessIdentity(
            "worker",
            version("taskgate"),
            pool=pool,
            backend=backend,
            slots=self._slots.limit,
            task_types=tuple(sorted(self._registry.get_all_handlers())),
        )
        self._lease = Lease(
            settings.follow("database_url"),
            identity,
            limit=settings.lease_seconds,
            on_lost=self._on_lease_lost,
            on_drain=self._on_drain,
            guard=guard,
        )
        self._runner = Runner(
            settled(self._dependencies.transitions, tracing),
            self._dependencies.foreign,
            self._registry,
            self._dependencies.context,
            lambda: self._lease.process_id,
            engine_retries=backend == "temporal",
            non_retryable=settings.non_retryable_errors,
            isolated=self._isolated,
            slots=self._slots if isinstance(self._slots, FixedSlots) else None,
            turns=Turns(self._dependencies.contexts.graph.turn),
        )
        self._serving: TaskRunner = self._runner if tracing is None else TracedRunner(self._runner, tracing)

    async def run(self) -> None:
        """Poll, run, drain. Waits for PostgreSQL and the engine if they are away."""
        self._lease.begin()
        side: list[asyncio.Task[None]] = []
        try:
            while (name := await self._next_name()) is not None:
                side = side or self._begin(name)
                self._runner.resume()
                await self._poll(name)
        finally:
            for task in side:
                task.cancel()
            await asyncio.gather(*side, return_exceptions=True)
            self._runner.close()
            await self._isolated.close()
            await self._listener.close()
            with contextlib.suppress(DatabaseUnavailable):
                await self._dependencies.close()
            # Last of all: what still runs here may begin elsewhere then.
            await self._lease.close()

    @property
    def is_idle(self) -> bool:
        """Whether no handler runs any more, not even one that ignores its cancellation."""
        return self._runner.is_idle

    def _begin(self, name: str) -> list[asyncio.Task[None]]:
        """What runs beside the work, once there is a lease for the first time."""
        self._listener.start()
        log.info("worker %s runs tasks of %s in %d slots", name, self._backend, self._slots.limit)
        return [
            asyncio.create_task(forever("the check of what runs", self._check)),
            asyncio.create_task(self._warm_up()),
        ]

    async def _next_name(self) -> str | None:
        """The name under which the lease is held, once it is; None if the worker is to end.

        What a worker takes under a name that PostgreSQL does not know, nobody gives back when it dies.
        """
        while not self.stopping.is_set():
            self._lease_lost.clear()
            holding, ending = asyncio.create_task(self._lease.held()), asyncio.create_task(self.stopping.wait())
            _, left = await asyncio.wait({holding, ending}, return_when=asyncio.FIRST_COMPLETED)
            for wait in left:
                wait.cancel()
            if holding.done() and not self.stopping.is_set() and not self._lease_lost.is_set():
                return holding.result()
        return None

    async def _poll(self, name: str) -> None:
        """Take tasks under this name, until the worker is stopped or the lease is lost."""
        over = asyncio.Event()
        poll = self._poll_redis if self._backend == "redis" else self._poll_temporal
        polling = asyncio.create_task(poll(name, over))
        ends = [asyncio.create_task(self.stopping.wait()), asyncio.create_task(self._lease_lost.wait())]
        await asyncio.wait([polling, *ends], return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        if self.stopping.is_set():
            self._runner.drain()
            asyncio.get_running_loop().call_later(self._settings.worker_drain_seconds, self._runner.stop_all, DRAIN)
        over.set()
        await polling

    async def _poll_redis(self, name: str, over: asyncio.Event) -> None:
        if not self._settings.redis_url:
            raise SystemExit("TASKGATE_REDIS_URL is not set: there is no Redis queue to take tasks from")
        # An accepted payload grows at most threefold on the wire: JSON in ASCII.
        largest = max(40 * 1024 * 1024, 4 * self._settings.max_body_bytes)
        worker = RedisQueueWorker(
            self._settings.follow("redis_url"),
            self._serving,
            name,
            self._slots,
            max_payload_bytes=largest,
            other_types=OtherTypes(
                self._registry.get_all_handlers(), self._is_type_served, grace=self._settings.unserved_type_seconds
            ),
        )
        announcing = asyncio.create_task(self._announce(worker.ready.wait()))
        try:
            await worker.run(over)
        finally:
            announcing.cancel()

    async def _is_type_served(self, task_type: str) -> bool:
        ask = (self._backend, task_type, self._settings.unserved_type_seconds)
        return bool(await until_stored(lambda: self._db.fetchval(SQL.is_type_served, *ask)))

    async def _poll_temporal(self, name: str, over: asyncio.Event) -> None:
        if not self._settings.temporal_address:
            raise SystemExit("TASKGATE_TEMPORAL_ADDRESS is not set: there is no Temporal to take tasks from")
        from workers.temporal.dag.activities import DagActivities
        from workers.temporal.dag.dependencies import DagDependencies
        from workers.temporal.pool import TemporalWorkerPool
        from workers.temporal.probe import ProbeActivity

        types = self._registry.get_all_handlers()
        dags = DagDependencies(self._settings, self._dependencies, types, lambda: self._lease.process_id)
        pool = TemporalWorkerPool(
            self._settings.temporal_address,
            self._settings.temporal_namespace,
            runner=self._serving,
            task_types=types,
            worker_id=name,
            slots=self._slots,
            security=self._settings.temporal_security(),
            shared=serves_shared(self._pool),
            # A little more than the runner's own grace, after which it hands back the rest.
            drain=timedelta(seconds=self._settings.worker_drain_seconds + 2),
            codec=self._settings.payload_codec(),
            dags=DagActivities(dags.steps),
            probes=ProbeActivity(
                self._db,
                self._registry.get_handler,
                self._rehearsing,
                name,
            ),
        )
        await self._follow_tenants(pool)
        side = [
            asyncio.create_task(forever("the list of tenants", lambda: self._follow_tenants_later(pool))),
            asyncio.create_task(self._announce(pool.wait_ready())),
            asyncio.create_task(_stop_when(over, pool)),
            asyncio.create_task(forever("the starts of nodes", dags.run)),
        ]
        try:
            await pool.run()
        finally:
            for task in side:
                task.cancel()
            await dags.close()

    async def _follow_tenants_later(self, pool: TemporalWorkerPool) -> None:
        """Tenants with queues of their own come and go without a restart."""
        await asyncio.sleep(TENANT_SECONDS)
        await self._follow_tenants(pool)

    async def _follow_tenants(self, pool: TemporalWorkerPool) -> None:
        with contextlib.suppress(DatabaseUnavailable):
            pool.set_tenants(await tenants_served(self._db, self._pool))

    async def _announce(self, ready: Coroutine[Any, Any, object]) -> None:
        await ready
        if self._guard is not None:
            self._guard.ready()
        elif self._settings.ready_file is not None:
            self._settings.ready_file.touch()
        log.info("worker %s is ready", self._lease.process_id)

    def _on_drain(self) -> None:
        log.info("worker %s is marked to drain: it takes no more tasks", self._lease.process_id)
        self.is_drained = True
        self.stopping.set()

    # Fences -------------------------------------------------------------------------------------------------

    def _on_lease_lost(self) -> None:
        self._runner.suspend()
        self._lease_lost.set()
        self._clearing = asyncio.create_task(self._clear())

    async def _clear(self) -> None:
        """A handler that ignores its cancellation prevents this; the supervisor then kills the process."""
        await self._runner.wait_idle()
        self._lease.cleared()

    async def _warm_up(self) -> None:
        """Load what the first task on the graph would otherwise wait for."""
        try:
            await self._isolated.warm_up(self._registry)
            await self._dependencies.contexts.warm_up()
        except HandlerProcessDied as error:
            log.error("handlers that run in a process of their own will fail: %s", error)
        except GraphError as error:
            log.error("tasks on the graph will fail: %s", error.message)

    async def _check(self) -> None:
        # `wait_for` would lose a cancellation that comes together with a wake-up (Python 3.11).
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHECK_SECONDS):
                await self._check_soon.wait()
        self._check_soon.clear()
        with contextlib.suppress(DatabaseUnavailable):
            await self._runner.compare()


def load(backend: str) -> None:
    """Import what only a worker of this backend needs, which takes half a second, before it holds a lease."""
    if backend == "temporal":
        import workers.temporal.dag.activities
        import workers.temporal.dag.dependencies
        import workers.temporal.pool
        import workers.temporal.probe  # noqa: F401


async def tenants_served(database: Database, pool: str | None) -> list[str]:
    """Tenants whose own queues a worker of this pool serves. Raises `DatabaseUnavailable`."""
    rows = await database.fetch(SQL.tenants_with_queues, plans_served(pool), serves_shared(pool), sorted(OWN_QUEUES))
    return [row["tenant_id"] for row in rows]


async def _stop_when(over: asyncio.Event, pool: TemporalWorkerPool) -> None:
    await over.wait()
    pool.stop()


async def run_worker(
    settings: Settings, backend: str, slots: int | Slots, *, pool: str | None = None, guard: GuardLine | None = None
) -> None:
    """One worker process: run until SIGTERM, SIGINT or a mark, then drain.

    Raises `SystemExit` after a mark: the supervisor is not to replace it.
    """
    worker = Worker(settings, backend, slots, pool=pool, guard=guard)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stopping.set)
    await worker.run()
    code = DRAINED if worker.is_drained and guard is not None else 0
    if not worker.is_idle:
        leave(code, at_once=True)
    if code:
        raise SystemExit(code)
