"""`TemporalWorkerPool`: one process polls many task queues with one shared number of slots.

Measured on Temporal 1.32.1, two cores shared with the server: a process that polls 32 empty queues uses 0.01 % of a
core and 72 MB, and is ready in 0.1 s; with 200 queues 0.01 %, 95 MB and 0.3 s. One poller per queue dispatches as fast
as five at light load (17–20 ms median); two, so that one waits while the other hands over. A backlog is drained by more
of them at once, where slots are many and queues few (`pollers`). Pollers that scale by themselves gain nothing and tick
(0.2 to 0.3 % for 30 queues).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.converter import PayloadCodec
from temporalio.service import RPCError
from temporalio.worker import FixedSizeSlotSupplier, PollerBehaviorSimpleMaximum, Worker, WorkerTuner

from backends.errors import EngineError
from backends.temporal import names
from backends.temporal.connection import SETTLE_SECONDS, connect
from backends.temporal.errors import Purpose, translate
from backends.temporal.payloads import data_converter
from backends.temporal.security import LOOK_SECONDS, Security
from workers.outcome import TaskRunner
from workers.slots import Slots
from workers.temporal.activities import RunTaskActivity
from workers.temporal.dag.activities import DagActivities
from workers.temporal.dag.worker import dag_worker
from workers.temporal.probe import ProbeActivity
from workers.temporal.serving import QueueServer
from workers.temporal.slots import SharedSlots, Usage
from workers.temporal.workflows import RunTaskWorkflow

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
#: Pollers of a queue, at least and at most.
FEWEST_POLLERS, MOST_POLLERS = 2, 5
#: Of all queues together, about, where they have more than the fewest.
ALL_POLLERS = 200
#: From so many queues on there is one for each: a server bounds what waits at once (`frontend.namespaceCount`).
MANY_QUEUES = 400
#: Identifies this code to Temporal; given so that the SDK does not hash every loaded module for each queue.
BUILD_ID = "taskgate"
#: Running activities are ended by the pool itself, never by the SDK's own grace.
NEVER = timedelta(days=3650)
#: Longest wait for the ends of polls that were cut off.
LEAVE_SECONDS = 2.0
#: Longest wait for what the SDK still has to tell Temporal. While Temporal is away it would ask without an end.
LAST_WORDS_SECONDS = 5.0
#: Heartbeats go out when the activity says so; the SDK would hold them back for 80 % of their timeout.
HEARTBEAT_THROTTLE = timedelta(seconds=1)


def pollers(slots: int, queues: int) -> int:
    """How many polls wait at once on each queue. Each may bring a task when all slots are taken already."""
    if queues >= MANY_QUEUES:
        return 1
    return max(FEWEST_POLLERS, min(MOST_POLLERS, slots // 4, ALL_POLLERS // max(queues, 1)))


class TemporalWorkerPool:
    """Polls Temporal for the tasks that this process is to run.

    Queues: `shared-<type>` for each of `task_types` and `shared-unregistered`, when `shared`; and
    `tenant-<id>-<type>` for each tenant of `set_tenants` and each type. `slots` tasks run at once, over all queues.
    `probes` answers probes (without it, Temporal says that the worker does not know them).
    `worker_id` is the identity that Temporal shows; `drain` the grace that running tasks get at the end. A server
    that is not there, or goes away, is waited for.
    """

    def __init__(
        self,
        address: str,
        namespace: str,
        *,
        runner: TaskRunner,
        task_types: Iterable[str],
        worker_id: str,
        slots: int | Slots,
        security: Security | None = None,
        shared: bool = True,
        drain: timedelta = timedelta(seconds=30),
        codec: PayloadCodec | None = None,
        dags: DagActivities | None = None,
        probes: ProbeActivity | None = None,
    ) -> None:
        self._address = address
        self._namespace = namespace
        self._security = security or Security()
        self._version: tuple[object, ...] = ()
        self._task_types = tuple(sorted(set(task_types)))
        self._worker_id = worker_id
        self._shared = shared
        self._drain = drain
        self._converter = data_converter(codec)
        self._dags = dags
        self._slots = SharedSlots(slots)
        self._activity = RunTaskActivity(runner, self._slots)
        self._probes = probes
        if probes is not None:
            probes.share(self._slots)
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._tenants: frozenset[str] = frozenset()
        self._serving: dict[str, QueueServer] = {}
        self._pollers = FEWEST_POLLERS
        self._departed: list[QueueServer] = []
        self._changed = asyncio.Event()
        self._ready = asyncio.Event()
        self._stopping = False

    @property
    def running(self) -> int:
        """Tasks that this process holds now."""
        return self._activity.running

    @property
    def usage(self) -> Usage:
        return self._slots.usage

    @property
    def queues(self) -> frozenset[str]:
        """The task queues that are to be polled."""
        shared = {names.UNREGISTERED_QUEUE, *map(names.shared_queue, self._task_types)} if self._shared else set()
        own = {names.tenant_queue(tenant, kind) for tenant in self._tenants for kind in self._task_types}
        return frozenset(shared | own)

    def set_tenants(self, tenant_ids: Iterable[str]) -> None:
        """Poll the queues of exactly these tenants from now on, without a restart.

        A queue that is left keeps the tasks that wait in it, so a tenant stays in the set until nothing of it waits
        (`dispatch.queue` tells). Tasks that run are not touched.
        """
        tenants = frozenset(tenant_ids)
        if tenants != self._tenants:
            self._tenants = tenants
            self._changed.set()

    async def wait_ready(self) -> None:
        """Return once every queue known at the start is polled."""
        await self._ready.wait()

    async def run(self) -> None:
        """Serve until `stop`; returns when nothing runs any more."""
        self._follow()
        noting = asyncio.create_task(self._note_ready(list(self._serving.values())))
        renewing = asyncio.create_task(self._renew_forever())
        try:
            while not self._stopping:
                await self._changed.wait()
                self._changed.clear()
                self._follow()
        finally:
            noting.cancel()
            renewing.cancel()
            await self._leave()

    def stop(self, drain: timedelta | None = None) -> None:
        """Poll no more, let running tasks end for `drain` (None: that of the pool), give the rest back to Temporal.

        `run` returns then.
        """
        if drain is not None:
            self._drain = drain
        self._stopping = True
        self._changed.set()

    def _follow(self) -> None:
        """Start to serve new queues, and leave those that are no longer wanted."""
        # Workflows of one activity may wait from a time, or from a gateway, without standalone activities.
        wanted = self.queues | {names.WORKFLOW_QUEUE} | ({names.DAG_QUEUE} if self._dags else set())
        self._pollers = pollers(self._slots.usage.total, len(wanted))
        for queue in self._serving.keys() - wanted:
            server = self._serving.pop(queue)
            server.leave()
            self._departed.append(server)
        self._departed = [server for server in self._departed if not server.done]
        for queue in sorted(wanted - self._serving.keys()):
            self._serving[queue] = QueueServer(queue, self._connected, self._worker)

    async def _note_ready(self, servers: list[QueueServer]) -> None:
        for server in servers:
            await server.polling.wait()
        self._ready.set()

    async def _leave(self) -> None:
        self._activity.close()
        await self._slots.close()
        for server in self._serving.values():
            server.leave()
        if self._probes is not None:
            await self._probes.leave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._slots.polls_ended()
        await self._activity.leave(self._drain)
        await self._end([*self._serving.values(), *self._departed])
        self._client = None
        await asyncio.sleep(SETTLE_SECONDS)

    async def _end(self, servers: Sequence[QueueServer]) -> None:
        """Return when none of them serves any more."""
        _, left = await asyncio.wait([asyncio.create_task(s.wait()) for s in servers], timeout=LAST_WORDS_SECONDS)
        if left:
            log.warning("Temporal does not answer: %d queues are left without telling it", len(left))
            for server in servers:
                server.abandon()

    async def _connected(self) -> Client:
        """The client of this process; waits until there is one."""
        pause, said = FIRST_PAUSE, ""
        async with self._connecting:
            while self._client is None:
                try:
                    version = self._security.version()
                    self._client = await self._connect()
                    self._version = version
                except EngineError as error:
                    if error.message != said:
                        log.warning("tasks wait until Temporal is there: %s", error.message)
                        said = error.message
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_PAUSE)
            return self._client

    async def _renew_forever(self) -> None:
        """Once a certificate or the API key has changed, go on with a connection that uses it."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            version = self._security.version()
            if self._client is None or version == self._version:
                continue
            try:
                client = await self._connect()
            except EngineError as error:
                log.warning("the connection to Temporal stays as it is: %s", error.message)
                await asyncio.sleep(LONGEST_PAUSE)
                continue
            self._client, self._version = client, version
            for server in (*self._serving.values(), *self._departed):
                server.use(client)
            log.info("the connection to Temporal was renewed, because a certificate or the key has changed")

    async def _connect(self) -> Client:
        """A client whose namespace exists. Raises `EngineError`."""
        client = await connect(
            self._address,
            self._namespace,
            security=self._security,
            identity=self._worker_id,
            timeout=CONNECT_SECONDS,
            converter=self._converter,
        )
        request = DescribeNamespaceRequest(namespace=self._namespace)
        try:
            await client.workflow_service.describe_namespace(request, timeout=timedelta(seconds=CONNECT_SECONDS))
        except RPCError as error:
            raise translate(error, Purpose.READ) from error
        return client

    def _worker(self, client: Client, queue: str) -> Worker:
        if queue == names.WORKFLOW_QUEUE:
            return Worker(
                client,
                task_queue=queue,
                workflows=[RunTaskWorkflow],
                build_id=BUILD_ID,
                # A run is two short steps with perhaps an hour between: replaying ten events is cheaper than a
                # cache, and without one no workflow task is ever sent to a worker that is gone.
                max_cached_workflows=0,
                max_concurrent_workflow_tasks=10,
            )
        if queue == names.DAG_QUEUE:
            assert self._dags is not None
            return dag_worker(client, self._dags)
        return Worker(
            client,
            task_queue=queue,
            activities=[self._activity.run_task, *([self._probes.probe] if self._probes else [])],
            build_id=BUILD_ID,
            tuner=WorkerTuner.create_composite(
                workflow_supplier=FixedSizeSlotSupplier(1),
                activity_supplier=self._slots,
                local_activity_supplier=FixedSizeSlotSupplier(1),
                nexus_supplier=FixedSizeSlotSupplier(1),
            ),
            activity_task_poller_behavior=PollerBehaviorSimpleMaximum(self._pollers),
            max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            graceful_shutdown_timeout=NEVER,
            disable_eager_activity_execution=True,
        )
