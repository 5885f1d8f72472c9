"""From row to engine: the fast path right after the commit, and the sweep for everything else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from backends.errors import EngineError, EngineUnavailable, StartRefused, StartUncertain
from backends.port import Capability, RetryPolicy, WorkflowEnginePort, WorkflowRef, WorkflowStart
from gateway import faults
from gateway.access.placement import Tier
from gateway.db import Database, translated
from gateway.dispatch.lane import Lane
from gateway.errors import DatabaseUnavailable
from gateway.intake import Launch, NewTask, first_ref
from gateway.routing.router import Route, RouteQuery, Router
from gateway.routing.stages import Stage
from gateway.sql import Queries
from gateway.status.transitions import DUE_CHANNEL, decode_payload

log = logging.getLogger(__name__)
SQL = Queries("gateway.dispatch", "dispatch.sql")

BATCH = 100
#: A start that nobody confirmed is repeated after this many seconds.
REPEAT_SECONDS = 10.0
#: Pause before a task whose backend is down is looked at again; the backend's return cuts it short.
DOWN_SECONDS = 5.0

QueueNamer = Callable[[str | None, Tier, str], str]


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
        concurrency: int,
        sweep_seconds: float,
        fallback_seconds: float = 0.0,
    ) -> None:
        self._db = database
        self._router = router
        self._owner_id = owner_id
        self._name_queue = name_queue
        self._timeout_of = timeout_of
        self._retry = retry
        self._sweep_seconds = sweep_seconds
        self._fallback_seconds = fallback_seconds
        self.lanes = {name: Lane(engine, concurrency=concurrency) for name, engine in engines.items()}
        self._wanted = asyncio.Event()
        self._confirmed: list[tuple[str, int]] = []
        self._to_confirm = asyncio.Event()
        self._starts: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []

    # Launcher (the fast path) -------------------------------------------------------------------------------

    @property
    def owner_id(self) -> str:
        return self._owner_id()

    def plan(self, task: NewTask) -> Launch:
        """Choose the backend of a new task, if it is due and its lane is free; no I/O."""
        now = datetime.now(UTC)
        if task.not_before is not None and task.not_before > now:
            return Launch("waiting", task.not_before)
        place = task.placement
        route = self._router.route(
            RouteQuery(place.tenant_id, task.task_type, task.task_id, place.project_id, place.tier, place.plan)
        )
        lane = self.lanes.get(route.backend)
        if lane is None or not route.usable or not lane.is_free:
            return Launch("waiting", now)
        queue = self._name_queue(place.tenant_id, place.tier, task.task_type)
        start = self._start_of(
            first_ref(task), task.payload, place.tenant_id, place.project_id, queue, task.priority, place.tier
        )
        repeat_at = now + timedelta(seconds=REPEAT_SECONDS)
        return Launch("starting", repeat_at, route.backend, str(route.stage), queue, start)

    def launch(self, backend: str, start: WorkflowStart) -> None:
        lane = self.lanes[backend]
        lane.pending += 1
        task = asyncio.create_task(self._start(lane, start))
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)

    def wake(self) -> None:
        self._wanted.set()

    def is_down(self, backend: str) -> bool:
        """Whether the engine did not answer when it was last asked."""
        lane = self.lanes.get(backend)
        return lane is not None and lane.is_down

    # Running ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Sweep until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sweep_forever())
            group.create_task(self._confirm_forever())
            group.create_task(self._listen_forever())
            group.create_task(self._probe_forever())

    async def close(self) -> None:
        """Let the starts under way end; what is left is repeated by the next gateway."""
        if self._starts:
            await asyncio.wait(self._starts, timeout=5)
        with contextlib.suppress(DatabaseUnavailable):
            await self._confirm_now()

    # Starting -----------------------------------------------------------------------------------------------

    async def _start(self, lane: Lane, start: WorkflowStart) -> None:
        ref = start.ref
        try:
            async with lane.slots:
                faults.passing("before_start")
                await lane.engine.start_workflow(start)
                faults.passing("after_start")
        except EngineUnavailable:
            lane.failed()
            await self._record(SQL.unstart, ref.task_id, ref.epoch, DOWN_SECONDS)
        except StartUncertain:
            log.warning("start of task %s on %s is uncertain; it is repeated", ref.task_id, lane.engine.name)
            await self._record(SQL.repeat_later, ref.task_id, ref.epoch, 1.0)
        except StartRefused as error:
            await self._record(SQL.refuse, ref.task_id, ref.epoch, error.message)
        except EngineError:
            log.exception("start of task %s on %s failed", ref.task_id, lane.engine.name)
            await self._record(SQL.repeat_later, ref.task_id, ref.epoch, 2.0)
        else:
            if lane.worked():
                await self._release(lane)
            self._confirmed.append((ref.task_id, ref.epoch))
            self._to_confirm.set()
        finally:
            lane.pending -= 1

    async def _record(self, query: str, *args: Any) -> None:
        """Write down what became of a start; when PostgreSQL is away the row's own `due_at` brings it back."""
        try:
            await self._db.execute(query, *args)
        except DatabaseUnavailable:
            log.warning("PostgreSQL is away; an engine's answer is recorded later")

    async def _confirm_forever(self) -> None:
        while await self._to_confirm.wait():
            self._to_confirm.clear()
            await asyncio.sleep(0.005)  # many confirmations, one statement
            try:
                await self._confirm_now()
            except DatabaseUnavailable:
                await asyncio.sleep(0.5)
                self._to_confirm.set()

    async def _confirm_now(self) -> None:
        batch, self._confirmed = self._confirmed, []
        if not batch:
            return
        try:
            await self._db.execute(SQL.confirm, [t for t, _ in batch], [e for _, e in batch])
        except DatabaseUnavailable:
            self._confirmed = batch + self._confirmed
            raise

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
                while await self.sweep() == BATCH:
                    await asyncio.sleep(0)
                pause = await self._pause()
            except DatabaseUnavailable:
                pause = 0.5

    async def _pause(self) -> float:
        seconds = await self._db.fetchval(SQL.next_due)
        return self._sweep_seconds if seconds is None else min(max(float(seconds), 0.02), self._sweep_seconds)

    async def sweep(self) -> int:
        """Take due tasks once, start them in their lanes; how many were looked at."""
        launches: list[tuple[str, WorkflowStart]] = []
        async with self._db.transaction() as db:
            rows = await db.fetch(SQL.take_due, BATCH)
            if not rows:
                return 0
            gone = [row["task_id"] for row in rows if row["row_gone"]]
            if gone:
                await db.execute(SQL.drop_gone, gone)
            begins: list[tuple[str, str, str, int, str]] = []
            held: dict[str, list[str]] = {}
            for row in rows:
                if row["row_gone"]:
                    continue
                backend, begin, start = self._decide(row)
                if start is None or begin is None:
                    held.setdefault(backend, []).append(row["task_id"])
                else:
                    begins.append(begin)
                    launches.append((backend, start))
            for backend, ids in held.items():
                await db.execute(SQL.postpone, ids, DOWN_SECONDS, backend)
            if begins:
                columns = [list(column) for column in zip(*begins, strict=True)]
                await db.execute(SQL.begin_starts, *columns, self.owner_id, REPEAT_SECONDS)
        for backend, start in launches:
            self.launch(backend, start)
        return len(rows)

    def _decide(self, row: asyncpg.Record) -> tuple[str, tuple[str, str, str, int, str] | None, WorkflowStart | None]:
        """Backend, the row's new columns, and the start; the latter None while the backend cannot take it."""
        tier = Tier.of_plan(row["plan"])
        if row["state"] == "starting":
            backend, stage, epoch, queue = row["backend"], row["stage"] or "", row["epoch"], row["queue"] or ""
        else:
            route = self._route(row, tier)
            lane = self._lane_for(route)
            if lane is None or self._may_still_run(row, route):
                return route.backend, None, None
            backend, stage, epoch = lane.engine.name, str(route.stage), row["epoch"] + 1
            queue = self._name_queue(row["tenant_id"], tier, row["task_type"])
        if backend not in self.lanes:
            return backend, None, None
        ref = WorkflowRef(row["task_id"], epoch, row["group_id"], row["task_type"])
        start = self._start_of(
            ref, decode_payload(row["payload"]), row["tenant_id"], row["project_id"], queue, row["priority"], tier
        )
        return backend, (row["task_id"], backend, stage, epoch, queue), start

    def _lane_for(self, route: Route) -> Lane | None:
        """The lane of the route's backend; when that is down for too long, the other's, if the stage allows it."""
        lane = self.lanes.get(route.backend)
        if not route.usable or lane is None:
            return None
        if not lane.is_down:
            return lane
        if not self._gives_up_on(lane) or route.stage is Stage.COMPLETE:
            return None
        return next((other for other in self.lanes.values() if other is not lane and not other.is_down), None)

    def _gives_up_on(self, lane: Lane) -> bool:
        return 0 < self._fallback_seconds <= lane.down_seconds

    def _may_still_run(self, row: asyncpg.Record, route: Route) -> bool:
        """A stopped start that its engine was not yet told of, where workers run without a claim: wait for that.

        At stage `complete` that engine may be gone for good, so nothing waits for it.
        """
        lane = self.lanes.get(row["cancel_backend"] or "")
        unfenced = lane is not None and Capability.FENCED not in lane.engine.capabilities
        return unfenced and row["cancel_epoch"] is not None and route.stage is not Stage.COMPLETE

    def _route(self, row: asyncpg.Record, tier: Tier) -> Route:
        return self._router.route(
            RouteQuery(row["tenant_id"], row["task_type"], row["task_id"], row["project_id"], tier, row["plan"])
        )

    def _start_of(
        self,
        ref: WorkflowRef,
        payload: Mapping[str, Any],
        tenant_id: str | None,
        project_id: str | None,
        queue: str,
        priority: int,
        tier: Tier,
    ) -> WorkflowStart:
        return WorkflowStart(
            ref=ref,
            payload=payload,
            timeout=self._timeout_of(ref.task_type),
            tenant_id=tenant_id,
            project_id=project_id,
            queue=queue,
            # VIP work passes standard work of the same priority in a shared pool (design §4).
            priority=priority,
            fairness_key=tenant_id if tier is Tier.STANDARD else None,
            retry=self._retry,
        )

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

    async def _probe_forever(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            await asyncio.gather(*(self._probe(lane) for lane in self.lanes.values() if lane.is_down))

    async def _probe(self, lane: Lane) -> None:
        if await lane.probe():
            await self._release(lane)
        elif self._gives_up_on(lane) and Capability.FENCED in lane.engine.capabilities:
            await self._record(SQL.evacuate, lane.engine.name)
            self.wake()

    async def _release(self, lane: Lane) -> None:
        await self._record(SQL.release, lane.engine.name)
        self._wanted.set()
