"""From row to engine: the fast path right after the commit, and the sweep for everything else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from backends.port import Capability, RetryPolicy, WorkflowEnginePort, WorkflowRef, WorkflowStart
from gateway.access.placement import Tier
from gateway.db import Database, translated
from gateway.dispatch.due import DueTasks
from gateway.dispatch.lane import Lane
from gateway.dispatch.queues import effective_priority, fairness_key
from gateway.dispatch.starter import DOWN_SECONDS, SQL, FlagRecorder, Starter
from gateway.errors import DatabaseUnavailable
from gateway.intake import Launch, NewTask, RetryOverride, first_ref
from gateway.limits.gate import Gate
from gateway.routing.router import Route, RouteQuery, Router
from gateway.routing.stages import Stage, allows
from gateway.status.payload import decode_payload
from gateway.status.transitions import DUE_CHANNEL

log = logging.getLogger(__name__)

#: A start that nobody confirmed is repeated after this many seconds.
REPEAT_SECONDS = 10.0

QueueNamer = Callable[[str | None, Tier, str], str]
#: Of a tenant's tasks of a type; None: they have a handler.
WorkflowNamer = Callable[[str | None, str], str | None]


class Dispatcher:
    """Chooses the backend of due tasks, and starts them there.

    Several gateways share the work: a row is taken with `FOR UPDATE SKIP LOCKED`; the id of a start makes its
    repetition harmless.
    """

    def __init__(
        self,
        database: Database,
        engines: Mapping[str, WorkflowEnginePort],
        router: Router,
        *,
        owner_id: Callable[[], str],
        name_queue: QueueNamer,
        timeout_of: Callable[[str], timedelta],
        retry: RetryPolicy,
        gate: Gate,
        concurrency: int,
        sweep_seconds: float,
        fallback_seconds: float = 0.0,
        record_flag: FlagRecorder | None = None,
        name_workflow: WorkflowNamer = lambda _tenant_id, _task_type: None,
    ) -> None:
        self._db = database
        self._name_workflow = name_workflow
        self._router = router
        self._owner_id = owner_id
        self._name_queue = name_queue
        self._timeout_of = timeout_of
        self._retry = retry
        self._gate = gate
        self._sweep_seconds = sweep_seconds
        self._wanted = asyncio.Event()
        self._starter = Starter(
            database,
            engines,
            concurrency=concurrency,
            fallback_seconds=fallback_seconds,
            record_flag=record_flag,
            wake=self.wake,
        )
        self._lanes = self._starter.lanes
        self._due = DueTasks(self._lanes)

    # Launcher (the fast path) -------------------------------------------------------------------------------

    @property
    def owner_id(self) -> str:
        return self._owner_id()

    def plan(self, task: NewTask) -> Launch:
        """Choose the backend of a new task, if it is due and its lane is free; no I/O."""
        now = datetime.now(UTC)
        if task.not_before is not None and task.not_before > now:
            return Launch("waiting", task.not_before)
        if task.held is not None:
            return Launch("waiting", now, held=task.held)
        place = task.placement
        route = self._router.route(
            RouteQuery(place.tenant_id, task.task_type, task.task_id, place.project_id, place.tier, place.plan)
        )
        if task.dag_run_id is not None:
            route = self._pin(route)
        lane = self._lanes.get(route.backend)
        if not self._gate.is_open(place.tenant_id, place.project_id, task.task_type):
            return Launch("waiting", now)
        if lane is None or not route.usable or not lane.is_free:
            return Launch("waiting", now)
        queue = self._name_queue(place.tenant_id, place.tier, task.task_type)
        start = self._start_of(
            first_ref(task),
            task.payload,
            place.tenant_id,
            place.project_id,
            queue,
            task.priority,
            place.tier,
            task.retry,
            self._workflow_of(route.backend, place.tenant_id, task.task_type),
        )
        repeat_at = now + timedelta(seconds=REPEAT_SECONDS)
        return Launch("starting", repeat_at, route.backend, str(route.stage), queue, start, flag=route.flag)

    def launch(self, launch: Launch) -> None:
        if (lane := self._lanes.get(launch.backend or "")) is not None:
            lane.used(launch.start.tenant_id if launch.start else None)
        self._starter.launch(launch)

    def wake(self) -> None:
        self._wanted.set()

    def is_down(self, backend: str) -> bool:
        """Whether the engine did not answer when it was last asked."""
        lane = self._lanes.get(backend)
        return lane is not None and lane.is_down

    # Running ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Sweep until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sweep_forever())
            group.create_task(self._listen_forever())
            group.create_task(self._starter.run())

    async def close(self) -> None:
        """Let the starts under way end; what is left is repeated by the next gateway."""
        await self._starter.close()

    # Sweeping -----------------------------------------------------------------------------------------------

    async def _sweep_forever(self) -> None:
        pause = self._sweep_seconds
        while True:
            # `wait_for` would lose a cancellation that comes together with a wake-up (Python 3.11).
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wanted.wait()
            self._wanted.clear()
            try:
                began = time.monotonic()
                while await self.sweep():
                    # Half of the time is left to those whose tasks come meanwhile.
                    await asyncio.sleep(time.monotonic() - began if self._due.is_shared else 0)
                    began = time.monotonic()
                pause = await self._pause()
            except DatabaseUnavailable:
                pause = 0.5

    async def _pause(self) -> float:
        seconds = await self._db.fetchval(SQL.next_due, self._due.passed_over)
        return self._sweep_seconds if seconds is None else min(max(float(seconds), 0.02), self._sweep_seconds)

    async def sweep(self) -> bool:
        """Take due tasks once, start them in their lanes; whether there may be more."""
        launches: list[Launch] = []
        async with self._db.transaction() as db:
            rows, is_more = await self._due.take(db)
            if not rows:
                return is_more
            gone = [row["task_id"] for row in rows if row["row_gone"]]
            if gone:
                await db.execute(SQL.drop_gone, gone)
            held: dict[str, list[str]] = {}
            for row in await self._gate.pass_through(db, [row for row in rows if not row["row_gone"]]):
                launch = self._decide(row)
                if launch.start is None:
                    held.setdefault(launch.backend or "", []).append(row["task_id"])
                else:
                    launches.append(launch)
            left = 0
            for backend, ids in held.items():
                lane = self._lanes.get(backend)
                is_full = lane is not None and not lane.is_down and not lane.has_room
                left += len(ids) if is_full else 0
                pause = 0.0 if is_full else DOWN_SECONDS
                await db.execute(SQL.postpone, ids, pause, backend)
            if launches:
                await db.execute(SQL.begin_starts, *_columns(launches), self.owner_id, REPEAT_SECONDS)
        for launch in launches:
            self._starter.launch(launch)
        # Tasks that a full lane left where they are are no progress: the next look comes after a pause.
        return is_more and left < len(rows)

    def _decide(self, row: asyncpg.Record) -> Launch:
        """What becomes of a due row; without a `start` while its backend cannot take it."""
        tier = Tier.of_plan(row["plan"])
        flag, repeated = None, row["state"] == "starting"
        if repeated:
            backend, stage, epoch, queue = row["backend"], row["stage"] or "", row["epoch"], row["queue"] or ""
        else:
            route = self._route(row, tier)
            lane = self._lane_for(route, may_change=row["dag_run_id"] is None)
            if lane is None or self._may_still_run(row, route):
                return Launch("waiting", row["due_at"], route.backend)
            if not lane.has_room:
                return Launch("waiting", row["due_at"], lane.engine.name)
            backend, stage, epoch = lane.engine.name, str(route.stage), row["epoch"] + 1
            queue, flag = self._name_queue(row["tenant_id"], tier, row["task_type"]), route.flag
        if backend not in self._lanes:
            return Launch("waiting", row["due_at"], backend)
        ref = WorkflowRef(row["task_id"], epoch, row["group_id"], row["task_type"])
        start = self._start_of(
            ref,
            decode_payload(row["payload"]),
            row["tenant_id"],
            row["project_id"],
            queue,
            row["priority"],
            tier,
            _own_retry(row),
            self._workflow_of(backend, row["tenant_id"], row["task_type"]),
        )
        return Launch("starting", row["due_at"], backend, stage, queue, start, flag=flag, repeated=repeated)

    def _lane_for(self, route: Route, *, may_change: bool) -> Lane | None:
        """The lane of the route's backend; when that is down for too long, the other's, if the stage allows it."""
        lane = self._lanes.get(route.backend)
        if not route.usable or lane is None:
            return None
        if not lane.is_down:
            return lane
        if not may_change or not self._starter.gives_up_on(lane) or route.stage is Stage.COMPLETE:
            return None
        return next((other for other in self._lanes.values() if other is not lane and not other.is_down), None)

    def _may_still_run(self, row: asyncpg.Record, route: Route) -> bool:
        """A stopped start that its engine was not yet told of, where workers run without a claim: wait for that.

        At stage `complete` that engine may be gone for good, so nothing waits for it.
        """
        lane = self._lanes.get(row["cancel_backend"] or "")
        unfenced = lane is not None and Capability.FENCED not in lane.engine.capabilities
        return unfenced and row["cancel_epoch"] is not None and route.stage is not Stage.COMPLETE

    def _route(self, row: asyncpg.Record, tier: Tier) -> Route:
        """Where the flag sends the task; where a redrive wants it instead, if its stage still allows that."""
        route = self._router.route(
            RouteQuery(row["tenant_id"], row["task_type"], row["task_id"], row["project_id"], tier, row["plan"])
        )
        if row["dag_run_id"] is not None:
            return self._pin(route)
        wanted = row["wanted_backend"]
        if wanted is not None and wanted in self._lanes and allows(route.stage, wanted):
            return replace(route, backend=wanted, usable=True, problem=None, flag=None)
        return route

    def _start_of(
        self,
        ref: WorkflowRef,
        payload: Mapping[str, Any],
        tenant_id: str | None,
        project_id: str | None,
        queue: str,
        priority: int,
        tier: Tier,
        retry: RetryOverride | None,
        workflow: str | None,
    ) -> WorkflowStart:
        return WorkflowStart(
            ref=ref,
            payload=payload,
            timeout=self._timeout_of(ref.task_type),
            tenant_id=tenant_id,
            project_id=project_id,
            queue=queue,
            priority=effective_priority(priority, tier),
            fairness_key=fairness_key(tenant_id, tier),
            fairness_weight=self._gate.weight_of(tenant_id),
            retry=self._retry if retry is None else retry.over(self._retry),
            workflow=workflow,
        )

    def _workflow_of(self, backend: str, tenant_id: str | None, task_type: str) -> str | None:
        """The workflow that carries out tasks of this type there, None: a handler does."""
        able = Capability.WORKFLOWS in self._lanes[backend].engine.capabilities
        return self._name_workflow(tenant_id, task_type) if able else None

    def _pin(self, route: Route) -> Route:
        """Runs of DAGs and their nodes stay where workflows are, whatever the flag says meanwhile."""
        for name, lane in self._lanes.items():
            if Capability.WORKFLOWS in lane.engine.capabilities:
                return replace(route, backend=name, usable=True, problem=None, flag=None)
        return replace(route, usable=False)

    # Wake-ups -----------------------------------------------------------------------------------------------

    async def _listen_forever(self) -> None:
        while True:
            try:
                connection = await self._db.connect()
            except DatabaseUnavailable:
                await asyncio.sleep(0.5)
                continue
            try:
                await self._listen(connection)
            finally:
                connection.terminate()

    async def _listen(self, connection: asyncpg.Connection) -> None:
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _: ended.set())
        with contextlib.suppress(DatabaseUnavailable), translated():
            await connection.add_listener(DUE_CHANNEL, lambda *_: self.wake())
            self.wake()  # for what was announced while nobody listened
            await ended.wait()
        log.warning("the wake-up connection to PostgreSQL was lost")


def _own_retry(row: asyncpg.Record) -> RetryOverride:
    """What the task was submitted with. Its attempts are those of the row in any case."""
    return RetryOverride(row["max_attempts"], row["retry_initial"], row["retry_coefficient"], row["retry_maximum"])


def _columns(launches: list[Launch]) -> list[list[Any]]:
    """Task ids, backends, stages, epochs and queues, as `begin_starts` takes them."""
    rows = [(x.start.ref.task_id, x.backend, x.stage, x.start.ref.epoch, x.queue) for x in launches if x.start]
    return [list(column) for column in zip(*rows, strict=True)]
