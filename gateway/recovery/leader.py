"""One gateway reaps, reconciles and lets tasks expire, whichever; every gateway tells engines of stops at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping

from backends.errors import EngineError
from backends.port import WorkflowEnginePort, WorkflowRef
from gateway.dispatch.open_starts import SQL
from gateway.errors import DatabaseUnavailable
from gateway.ingress.bridge import SQL as BRIDGE_SQL
from gateway.ingress.bridge import Bridge
from gateway.recovery.lease import LOCK_CLASS
from gateway.recovery.reaper import SQL as REAPER_SQL
from gateway.recovery.reaper import Reaper
from gateway.recovery.reconciler import Reconciler
from gateway.storage.database import Database, translated
from gateway.submission.intake import SQL as INTAKE_SQL
from gateway.tasks.lifecycle.transitions import Transitions

log = logging.getLogger(__name__)

#: The advisory lock of the one caretaker among all gateways (process locks have keys ≥ 0).
CARETAKER_KEY = -1
CLEAN_SECONDS = 3600.0
#: Stops that are told at a time.
CANCELS = 100


class Canceller:
    """Tells engines of stopped starts; harmless when two gateways do it."""

    def __init__(self, database: Database, engines: Mapping[str, WorkflowEnginePort]) -> None:
        self._db = database
        self._engines = engines
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        while True:
            # `wait_for` would lose a cancellation that comes together with a wake-up (Python 3.11).
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._wanted.wait()
            self._wanted.clear()
            with contextlib.suppress(DatabaseUnavailable):
                while await self.sweep() == CANCELS:
                    pass

    async def sweep(self) -> int:
        """Tell each engine of what was stopped, and how often; engines that are away are told later."""
        told = 0
        rows = await self._db.fetch(SQL.take_cancels, CANCELS)
        away: set[str] = set()
        for row in rows:
            name = row["cancel_backend"]
            engine = self._engines.get(name)
            if engine is None or name in away:
                continue
            ref = WorkflowRef(row["task_id"], row["cancel_epoch"], row["group_id"], row["task_type"])
            try:
                await engine.cancel_workflow(ref, "Task stopped by user")
            except EngineError:
                away.add(name)
            else:
                await self._db.execute(SQL.cancelled, ref.task_id, ref.epoch)
                told += 1
        return told


class Caretaker:
    """Holds the caretaker's lock while it can; reaps and reconciles under it. Pauses in seconds."""

    def __init__(
        self,
        database: Database,
        reaper: Reaper,
        reconciler: Reconciler,
        transitions: Transitions,
        *,
        reap_seconds: float,
        reconcile_seconds: float,
        idempotency_hours: float,
        bridge: Bridge | None = None,
        bridge_seconds: float = 1.0,
    ) -> None:
        self._db = database
        self._reaper = reaper
        self._reconciler = reconciler
        self._transitions = transitions
        self._reap_seconds = reap_seconds
        self._reconcile_seconds = reconcile_seconds
        self._memory_seconds = idempotency_hours * 3600
        self._bridge = bridge
        self._bridge_seconds = bridge_seconds

    async def run(self) -> None:
        while True:
            try:
                connection = await self._db.connect()
            except DatabaseUnavailable:
                await asyncio.sleep(0.5)
                continue
            try:
                with contextlib.suppress(DatabaseUnavailable), translated():
                    while not await connection.fetchval(
                        "SELECT pg_try_advisory_lock($1::int, $2::int)", LOCK_CLASS, CARETAKER_KEY
                    ):
                        await asyncio.sleep(0.5)
                    await self._care(connection.is_closed)
            finally:
                connection.terminate()

    async def _care(self, is_over: Callable[[], bool]) -> None:
        log.info("this gateway is the caretaker")
        # Beside the reaper, which must not wait for an engine that answers slowly.
        beside = [asyncio.create_task(self._reconcile_forever())]
        if self._bridge is not None:
            beside.append(asyncio.create_task(self._bridge.run(self._bridge_seconds)))
        try:
            while not is_over():
                await self._reaper.tick()
                for task in beside:
                    if task.done():
                        task.result()
                await asyncio.sleep(self._reap_seconds)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _reconcile_forever(self) -> None:
        cleaned = 0.0
        while True:
            await self._reconciler.tick()
            await self._transitions.expire()
            if time.monotonic() - cleaned > CLEAN_SECONDS:
                cleaned = time.monotonic()
                await self._db.execute(INTAKE_SQL.forget, self._memory_seconds)
                await self._db.execute(REAPER_SQL.forget_processes)
                await self._db.execute(BRIDGE_SQL.forget_old)
            await asyncio.sleep(self._reconcile_seconds)
