"""Tells engines of starts, each backend in its own lane, and writes down what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from backends.errors import EngineError, EngineUnavailable, StartRefused, StartUncertain
from backends.port import Capability, WorkflowEnginePort
from gateway.dispatch.lane import Lane
from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.submission.start_plan import Launch
from gateway.tasks import fault_points

if TYPE_CHECKING:  # workers use it, and need no flag SDK
    from gateway.routing.flags import FlagEvaluation

log = logging.getLogger(__name__)
SQL = Queries("gateway.dispatch", "dispatch.sql")

#: A start that nobody confirmed is repeated after this many seconds.
REPEAT_SECONDS = 10.0
#: Pause before a task whose backend is down is looked at again; the backend's return cuts it short.
DOWN_SECONDS = 5.0
PROBE_SECONDS = 0.5
#: How long a confirmation may wait for others (seconds): the first, and while there is no end of them.
FIRST_CONFIRM_PAUSE, LAST_CONFIRM_PAUSE = 0.005, 0.04

#: Evaluation, backend, latency, failed: for LaunchDarkly's migration metrics.
FlagRecorder = Callable[["FlagEvaluation", str, timedelta, bool], None]


class Starter:
    """Carries out launches. `wake` makes the dispatcher look again; `fallback_seconds` 0: nothing gives up waiting."""

    def __init__(
        self,
        database: Database,
        engines: Mapping[str, WorkflowEnginePort],
        *,
        concurrency: int,
        fallback_seconds: float,
        record_flag: FlagRecorder | None,
        wake: Callable[[], None],
    ) -> None:
        self.lanes = {name: Lane(engine, concurrency=concurrency) for name, engine in engines.items()}
        self._db = database
        self._fallback_seconds = fallback_seconds
        self._record_flag = record_flag
        self._wake = wake
        self._confirmed: list[tuple[str, int]] = []
        self._to_confirm = asyncio.Event()
        self._starts: set[asyncio.Task[None]] = set()

    def launch(self, launch: Launch) -> None:
        """Start a committed task in the background; `launch.backend` and `launch.start` are given."""
        assert launch.backend is not None
        lane = self.lanes[launch.backend]
        lane.begun()
        task = asyncio.create_task(self._start(lane, launch))
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)

    def gives_up_on(self, lane: Lane) -> bool:
        """Whether the backend is down for so long that its tasks may go to the other one."""
        return 0 < self._fallback_seconds <= lane.down_seconds

    async def run(self) -> None:
        """Confirm starts and probe engines that are down, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._confirm_forever())
            group.create_task(self._probe_forever())

    async def close(self) -> None:
        """Let the starts under way end; what is left is repeated by the next gateway."""
        if self._starts:
            await asyncio.wait(self._starts, timeout=5)
        with contextlib.suppress(DatabaseUnavailable):
            await self._confirm_now()

    async def _start(self, lane: Lane, launch: Launch) -> None:
        assert launch.start is not None
        ref, began, failed = launch.start.ref, time.monotonic(), True
        try:
            async with lane.slot(launch.start.tenant_id):
                fault_points.passing("before_start")
                asked = time.monotonic()
                await lane.engine.start_workflow(launch.start)
                lane.took(time.monotonic() - asked)
                fault_points.passing("after_start")
        except EngineUnavailable:
            lane.failed()
            # Of a repeated start the first try may have been carried out: it stays with its backend and epoch.
            undone = SQL.repeat_later if launch.repeated else SQL.unstart
            await self._record(undone, ref.task_id, ref.epoch, DOWN_SECONDS)
        except StartUncertain:
            log.warning("start of task %s on %s is uncertain; it is repeated", ref.task_id, lane.engine.name)
            await self._record(SQL.repeat_later, ref.task_id, ref.epoch, 1.0)
        except StartRefused as error:
            await self._record(SQL.refuse, ref.task_id, ref.epoch, error.message)
        except (ValueError, TypeError):
            log.exception("the payload of task %s cannot be sent to %s", ref.task_id, lane.engine.name)
            await self._record(SQL.refuse, ref.task_id, ref.epoch, "The payload cannot be sent to the workflow engine")
        except EngineError:
            log.exception("start of task %s on %s failed", ref.task_id, lane.engine.name)
            await self._record(SQL.repeat_later, ref.task_id, ref.epoch, 2.0)
        else:
            failed = False
            if lane.worked():
                await self._release(lane)
            self._confirmed.append((ref.task_id, ref.epoch))
            self._to_confirm.set()
        finally:
            if lane.started():
                self._wake()
            if launch.flag is not None and self._record_flag is not None:
                self._record_flag(launch.flag, lane.engine.name, timedelta(seconds=time.monotonic() - began), failed)

    async def _record(self, query: str, *args: Any) -> None:
        """Write down what became of a start; when PostgreSQL is away the row's own `due_at` brings it back."""
        try:
            await self._db.execute(query, *args)
        except DatabaseUnavailable:
            log.warning("PostgreSQL is away; an engine's answer is recorded later")

    async def _confirm_forever(self) -> None:
        pause = FIRST_CONFIRM_PAUSE
        while True:
            busy = self._to_confirm.is_set()
            await self._to_confirm.wait()
            self._to_confirm.clear()
            # Many confirmations, one statement. Nobody waits for them: a worker may claim before.
            pause = min(2 * pause, LAST_CONFIRM_PAUSE) if busy else FIRST_CONFIRM_PAUSE
            await asyncio.sleep(pause)
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

    async def _probe_forever(self) -> None:
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            await asyncio.gather(*(self._probe(lane) for lane in self.lanes.values() if lane.is_down))

    async def _probe(self, lane: Lane) -> None:
        if await lane.probe():
            await self._release(lane)
        elif self.gives_up_on(lane) and Capability.FENCED in lane.engine.capabilities:
            await self._record(SQL.evacuate, lane.engine.name)
            self._wake()

    async def _release(self, lane: Lane) -> None:
        await self._record(SQL.release, lane.engine.name)
        self._wake()
