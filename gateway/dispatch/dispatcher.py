"""From row to engine: the fast path right after the commit, and the sweep for everything else."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from gateway.dispatch.due_tasks import DueTasks
from gateway.dispatch.open_starts import DOWN_SECONDS, SQL, OpenStarts
from gateway.dispatch.planner import Planner
from gateway.dispatch.starter import Starter
from gateway.errors import DatabaseUnavailable
from gateway.limits.gate import Gate
from gateway.storage.database import Database, type_Connection
from gateway.storage.listener import Listener
from gateway.submission.start_plan import REPEAT_SECONDS, StartPlan
from gateway.submission.yielding import Yielding
from gateway.tasks.lifecycle.transitions import DUE_CHANNEL

#: The pause between two looks for due tasks, as a multiple of a look, while new tasks come: it is left to those.
LEFT_TO_OTHERS = 3.0


class Dispatcher:
    """Starts due tasks. `wanted` is set when waiting tasks should be looked at soon.

    Several gateways share the work: a row is taken with `FOR UPDATE SKIP LOCKED`, and a repeated start has the same id.
    """

    def __init__(
        self,
        database: Database,
        listener: Listener,
        starter: Starter,
        planner: Planner,
        gate: Gate,
        wanted: asyncio.Event,
        *,
        owner_id: Callable[[], str],
        sweep_seconds: float,
    ) -> None:
        self._db = database
        self._listener = listener
        listener.subscribe(DUE_CHANNEL, lambda _: self.wake(), missed=self.wake)
        self._starter = starter
        self._lanes = starter.lanes
        self._due = DueTasks(starter.lanes)
        self._planner = planner
        self._gate = gate
        self._wanted = wanted
        self._owner_id = owner_id
        self._sweep_seconds = sweep_seconds
        # Intake calls it for each task, so there is no wrapper.
        self.plan = planner.plan

    # DispatcherPort (the fast path) -----------------------------------------------------------------------

    @property
    def owner_id(self) -> str:
        return self._owner_id()

    def begin(self, plan: StartPlan) -> None:
        if (lane := self._lanes.get(plan.backend or "")) is not None:
            lane.submitting.note(plan.start.tenant_id if plan.start else None)
        self._starter.begin(plan)

    def wake(self) -> None:
        self._wanted.set()

    def is_down(self, backend: str) -> bool:
        """Whether the engine did not answer when it was last asked."""
        lane = self._lanes.get(backend)
        return lane is not None and lane.is_down

    @property
    def open_starts(self) -> OpenStarts:
        return self._starter.open

    # Running ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Sweep until cancelled."""
        self._listener.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sweep_forever())
            group.create_task(self._starter.run())

    async def close(self) -> None:
        """Let the starts under way end; another gateway repeats the rest."""
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
                    # Most of the time is left to new tasks of others.
                    await asyncio.sleep(LEFT_TO_OTHERS * (time.monotonic() - began) if self._due.is_shared else 0)
                    began = time.monotonic()
                pause = await self._pause()
            except DatabaseUnavailable:
                pause = 0.5

    async def _pause(self) -> float:
        seconds = await self._due.next_in(self._db)
        return self._sweep_seconds if seconds is None else min(max(seconds, 0.02), self._sweep_seconds)

    async def sweep(self) -> bool:
        """Take due tasks once, and start them in their lanes. Returns whether there may be more."""
        plans: list[StartPlan] = []
        async with self._db.transaction() as db:
            rows, is_more = await self._due.take(db)
            if not rows:
                return is_more
            if gone := [row["task_id"] for row in rows if row["row_gone"]]:
                await db.execute(SQL.drop_gone, gone)
            kept = [row for row in rows if not row["row_gone"]]
            # Our own starts are not repeated, even if renewed late (PostgreSQL was away, or this process hung).
            own = {row["task_id"] for row in kept if (row["task_id"], row["epoch"]) in self._starter.open}
            held: dict[str, list[str]] = {}
            planned: Counter[str] = Counter()
            yielding = Yielding()
            for row in await self._gate.pass_through(db, [row for row in kept if row["task_id"] not in own]):
                await yielding.pause()
                plan = self._planner.plan_due(row, planned)
                if plan.start is None:
                    held.setdefault(plan.backend or "", []).append(row["task_id"])
                else:
                    plans.append(plan)
                    planned[plan.backend or ""] += 1
            left = len(own) + await self._postpone(db, held, planned)
            if plans:
                await db.execute(SQL.begin_starts, *_columns(plans), self.owner_id, REPEAT_SECONDS)
        for plan in plans:
            self._starter.begin(plan)
        if own:
            await self._starter.open.renew(older_than=0)
        # If full lanes left all tasks where they are, there was no progress: the next look comes after a pause.
        return is_more and left < len(rows)

    async def _postpone(self, db: type_Connection, held: Mapping[str, list[str]], planned: Mapping[str, int]) -> int:
        """Record which backend cannot take these tasks yet. Returns how many only wait for room in its lane."""
        left = 0
        for backend, ids in held.items():
            lane = self._lanes.get(backend)
            is_full = lane is not None and not lane.is_down and not lane.takes_one_more(planned.get(backend, 0))
            if is_full:
                left += len(ids)
                await db.execute(SQL.mark, ids, backend)
            else:
                await db.execute(SQL.postpone, ids, DOWN_SECONDS, backend)
        return left


def _columns(plans: list[StartPlan]) -> list[list[Any]]:
    """Task ids, backends, stages, epochs, queues, rules and entries, as `begin_starts` takes them."""
    rows = [
        (x.start.ref.task_id, x.backend, x.stage, x.start.ref.epoch, x.queue, x.rule, x.entry_id)
        for x in plans
        if x.start
    ]
    return [list(column) for column in zip(*rows, strict=True)]
