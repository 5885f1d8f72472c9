"""Sends starts to engines, each backend in its own lane, and records their outcomes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from backends.errors import EngineError, EngineUnavailable, StartRefused, StartUncertain
from backends.port import Capability, WorkflowEnginePort
from gateway.dispatch.lane import Lane
from gateway.dispatch.open_starts import DOWN_SECONDS, SQL, OpenStarts
from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database
from gateway.submission.start_plan import StartPlan
from gateway.tasks import fault_points

if TYPE_CHECKING:  # workers use it, and need no flag SDK
    from gateway.routing.flag_evaluation import FlagEvaluation

log = logging.getLogger(__name__)

#: Longest wait for an engine (seconds): after it a start is uncertain, and a probe has failed.
ENGINE_SECONDS = 10.0
#: Tasks that one statement takes away from a backend that is down, or makes due when it is back; so long that goes on
#: between two probes (seconds).
PAGE = 1000
LEAVE_SECONDS = 2.0

#: Evaluation, backend, latency, failed: for LaunchDarkly's migration metrics.
FlagRecorder = Callable[["FlagEvaluation", str, timedelta, bool], None]


class Starter:
    """Carries out start plans. `wake` makes the dispatcher look again. `fallback_seconds` 0: tasks keep their backend.

    `owner_id` names this process in the rows of starts that it has planned. `ended` is told the id of a task once the
    outcome of its start is written.
    """

    def __init__(
        self,
        database: Database,
        engines: Mapping[str, WorkflowEnginePort],
        *,
        owner_id: Callable[[], str],
        concurrency: int,
        fallback_seconds: float,
        record_flag: FlagRecorder | None,
        wake: Callable[[], None],
        ended: Callable[[str], None],
    ) -> None:
        self.lanes = {name: Lane(engine, concurrency=concurrency) for name, engine in engines.items()}
        self.open = OpenStarts(database, owner_id, ended)
        self._db = database
        self._fallback_seconds = fallback_seconds
        self._record_flag = record_flag
        self._wake = wake
        self._starts: set[asyncio.Task[None]] = set()

    def begin(self, plan: StartPlan) -> None:
        """Start a committed task in the background; `plan.backend` and `plan.start` are given."""
        assert plan.backend is not None
        assert plan.start is not None
        lane = self.lanes[plan.backend]
        lane.begin(plan.size)
        self.open.begin(plan.start.ref)
        task = asyncio.create_task(self._start(lane, plan))
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)

    def gives_up_on(self, lane: Lane) -> bool:
        """Whether the backend is down for so long that its tasks may go to the other one."""
        return 0 < self._fallback_seconds <= lane.health.down_seconds

    async def run(self) -> None:
        """Write outcomes of starts, and probe engines that are down, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.open.run())
            for lane in self.lanes.values():
                group.create_task(self._recover_forever(lane))

    async def close(self) -> None:
        """Let the starts under way end; another gateway repeats the rest."""
        if self._starts:
            await asyncio.wait(self._starts, timeout=5)
        with contextlib.suppress(DatabaseUnavailable):
            await self.open.write()

    async def _start(self, lane: Lane, plan: StartPlan) -> None:
        assert plan.start is not None
        ref, began, failed = plan.start.ref, time.monotonic(), True
        try:
            async with lane.slot(plan.start.tenant_id):
                if lane.is_down:
                    raise EngineUnavailable
                fault_points.passing("before_start")
                async with asyncio.timeout(ENGINE_SECONDS):
                    await lane.engine.start_workflow(plan.start)
                fault_points.passing("after_start")
        except EngineUnavailable:
            lane.failed()
            if plan.repeated:  # an earlier try may have been carried out, so it keeps its backend and epoch
                await self.open.repeat_later(ref, 1.0)
            else:
                self.open.put_back(ref)
        except (StartUncertain, TimeoutError):
            log.warning("start of task %s on %s is uncertain; it is repeated", ref.task_id, lane.engine.name)
            await self.open.repeat_later(ref, 1.0)
        except StartRefused as error:
            await self._refuse(lane, plan, error.message)
        except (ValueError, TypeError):
            log.exception("the payload of task %s cannot be sent to %s", ref.task_id, lane.engine.name)
            await self._refuse(lane, plan, "The payload cannot be sent to the workflow engine")
        except Exception:
            log.exception("start of task %s on %s failed", ref.task_id, lane.engine.name)
            await self.open.repeat_later(ref, 2.0)
        else:
            failed = False
            self.open.confirm(ref)
        finally:
            if lane.end(plan.size):
                self._wake()
            if plan.flag is not None and self._record_flag is not None:
                self._record_flag(plan.flag, lane.engine.name, timedelta(seconds=time.monotonic() - began), failed)

    async def _refuse(self, lane: Lane, plan: StartPlan, why: str) -> None:
        """The engine refuses it; ask whether it has taken an earlier try."""
        assert plan.start is not None
        ref = plan.start.ref
        try:
            async with asyncio.timeout(ENGINE_SECONDS):
                known = plan.repeated and await lane.engine.get_workflow_status(ref) is not None
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody knows now
            log.warning("whether %s has task %s is not known: %s", lane.engine.name, ref.task_id, type(error).__name__)
            await self.open.repeat_later(ref, 1.0)
            return
        if known:
            self.open.confirm(ref)
        else:
            log.error("%s refuses task %s: %s", lane.engine.name, ref.task_id, why)
            await self.open.refuse(ref, why)

    async def _recover_forever(self, lane: Lane) -> None:
        """Probe an engine that is down, after each of its pauses."""
        while True:
            await lane.health.until_down()
            await asyncio.sleep(lane.health.next_pause())
            try:
                async with asyncio.timeout(ENGINE_SECONDS):
                    await lane.engine.check_health()
            except (EngineError, TimeoutError):
                if self.gives_up_on(lane):
                    await self._leave(lane)
                continue
            lane.health.probe_answered()
            await self._return(lane)
            self._wake()

    async def _return(self, lane: Lane) -> None:
        """What waits for its engine is due now. Of very much the rest is due soon in any case."""
        until = time.monotonic() + LEAVE_SECONDS
        while await self._record(SQL.due_now, lane.engine.name, PAGE, DOWN_SECONDS) == PAGE:
            self._wake()
            if time.monotonic() >= until:
                return

    async def _leave(self, lane: Lane) -> None:
        """Let its tasks go to the other backend, if it is certain that none of them can still run there."""
        if Capability.FENCED not in lane.engine.capabilities:
            return
        until = time.monotonic() + LEAVE_SECONDS
        while await self._record(SQL.evacuate, lane.engine.name, PAGE):
            self._wake()
            if time.monotonic() >= until:
                return

    async def _record(self, query: str, backend: str, *values: object) -> int:
        """Returns the number of tasks that were changed."""
        try:
            tag = await self._db.execute(query, backend, *values)
        except DatabaseUnavailable:
            log.warning("PostgreSQL is away; what waits for %s is looked at later", backend)
            return 0
        return int(tag.rsplit(" ", 1)[-1])
