"""Signals the workflows of runs when their nodes have ended, and watchers when something has changed.

Every gateway does it. An end is taken by one gateway at a time, and signalled again if that one failed. For a run with
many open nodes, several ends are signalled together, so that its workflow wakes a few times per second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import asyncpg

from backends.errors import CapabilityMissing, EngineError, WorkflowNotFound
from backends.port import Capability, WorkflowEnginePort, WorkflowRef
from gateway.dags.memory import fail_memory
from gateway.dags.paths import RUNS_CHANNEL
from gateway.dags.run_reader import SQL as STEPS
from gateway.dags.watch import RunWatch
from gateway.errors import DatabaseUnavailable
from gateway.pacing.throttle import Throttle
from gateway.storage.database import Database
from gateway.storage.driver_errors import was_cut_short
from gateway.storage.listener import Listener
from gateway.storage.queries import Queries
from gateway.tasks.changes.notifier import CHANGES_CHANNEL, unpack
from gateway.tasks.lifecycle.transitions import STOP_CHANNEL, ChangeNotifier

log = logging.getLogger(__name__)
SQL = Queries("gateway.dags", "run_notifier.sql")

#: The signal, as the workflow knows it.
ENDED = "ended"

_TELL_SECONDS = 3.0
_SWEEP_SECONDS = 1.0
#: Longest rest after a sweep that took long (seconds): an end whose notification was lost waits no longer.
_LONGEST_REST = 5.0
_GATHER_SECONDS = 0.002
#: Pause between two signals to one run: per open node, and at most.
_PAUSE_PER_NODE, _LONGEST_PAUSE = 0.0005, 0.25


class RunNotifier:
    """Belongs to one event loop; `run` works until it is cancelled."""

    def __init__(
        self,
        database: Database,
        listener: Listener,
        engines: Mapping[str, WorkflowEnginePort],
        notifier: ChangeNotifier,
        watch: RunWatch,
        *,
        on_stop: Any = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = database
        self._listener = listener
        listener.subscribe(CHANGES_CHANNEL, self._on_changes, missed=self._look_again)
        listener.subscribe(RUNS_CHANNEL, self._look_again)
        self._engine = next((e for e in engines.values() if Capability.WORKFLOWS in e.capabilities), None)
        self._notifier = notifier
        self._watch = watch
        self._on_stop = on_stop
        self._heard: dict[str, None] = {}
        self._wanted = asyncio.Event()
        self._is_busy = True
        # Both looks of a sweep read all open nodes.
        self._abandoned, self._untold = (Throttle(longest=_LONGEST_REST, clock=clock) for _ in range(2))
        self._waiting: dict[str, list[asyncpg.Record]] = {}
        self._tellers: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Listen, tell and sweep."""
        self._listener.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell_forever())
            group.create_task(self._sweep_forever())

    # Listening ----------------------------------------------------------------------------------------------

    def _look_again(self, _payload: str = "") -> None:
        self._is_busy = True

    def _on_changes(self, payload: str) -> None:
        if not self._is_busy and not self._watch.is_watched:
            return
        ids = unpack(payload)
        self._watch.heard(ids)
        if self._is_busy and self._engine is not None:
            self._heard.update(dict.fromkeys(ids))
            self._wanted.set()

    # Telling ------------------------------------------------------------------------------------------------

    async def _tell_forever(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            ids, self._heard = list(self._heard), {}
            with contextlib.suppress(DatabaseUnavailable):
                await self._take(ids)
            await asyncio.sleep(_GATHER_SECONDS)

    async def _sweep_forever(self) -> None:
        """Take ends whose notification or signal was lost."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                was_busy, self._is_busy = self._is_busy, bool(await self._db.fetchval(SQL.is_busy))
                if was_busy or self._is_busy:
                    await self._sweep()
            except DatabaseUnavailable:
                continue
            except Exception:
                log.exception("runs of DAGs could not be looked at")

    async def _sweep(self) -> None:
        """Both looks; one that is cut off leaves the other its turn, and rests. Raises `DatabaseUnavailable`."""
        if not self._abandoned.rest:
            with _may_be_cut_off(self._abandoned):
                await self._stop_abandoned()
        if self._engine is not None and not self._untold.rest:
            with _may_be_cut_off(self._untold), self._untold.look():
                await self._take(None)

    async def _take(self, task_ids: list[str] | None) -> None:
        rows = await self._db.fetch(SQL.take_ended, task_ids, _TELL_SECONDS)
        for row in rows:
            self._waiting.setdefault(row["run_id"], []).append(row)
        for run_id in {row["run_id"] for row in rows} - self._tellers.keys():
            self._tellers[run_id] = asyncio.create_task(self._tell(run_id), name=f"tell {run_id}")

    async def _tell(self, run_id: str) -> None:
        """Signal one run, batch by batch, until nothing waits."""
        try:
            while rows := self._waiting.pop(run_id, None):
                await self._signal(rows)
                open_nodes = await self._db.fetchval(SQL.company, run_id)
                await asyncio.sleep(min(open_nodes * _PAUSE_PER_NODE, _LONGEST_PAUSE))
        except (EngineError, DatabaseUnavailable, TimeoutError) as error:
            log.debug("run %s was not told of ends: %s", run_id, type(error).__name__)  # the sweep takes them again
        finally:
            # No await since `_waiting` was checked: an end that comes from now on starts a new task.
            del self._tellers[run_id]

    async def _signal(self, rows: list[asyncpg.Record]) -> None:
        assert self._engine is not None
        by_epoch: dict[int, list[asyncpg.Record]] = {}
        for row in rows:
            by_epoch.setdefault(row["epoch"], []).append(row)
        for epoch, told in by_epoch.items():
            first = told[0]
            ref = WorkflowRef(first["run_id"], epoch, first["group_id"], first["task_type"])
            events = [[row["node"], row["position"], _state(row), row["undoes"]] for row in told]
            try:
                await self._engine.signal_workflow(ref, ENDED, events)
            except (WorkflowNotFound, CapabilityMissing):
                # Runs that are over here are signalled, too: Temporal may have lost the end of their workflow.
                if any(row["is_open"] for row in told):
                    raise
            await self._mark_told(told)

    async def _mark_told(self, rows: Iterable[asyncpg.Record]) -> None:
        columns = [(row["run_id"], row["path"], row["told_at"]) for row in rows]
        await self._db.execute(SQL.told, *(list(column) for column in zip(*columns, strict=True)))

    async def _stop_abandoned(self) -> None:
        with self._abandoned.look():
            runs = await self._db.fetch(SQL.abandoned)
        for run in runs:
            stopped = await self._db.fetch(STEPS.stop_nodes, run["run_id"], "The DAG was stopped", STOP_CHANNEL)
            for row in stopped:
                self._notifier.changed(row["task_id"])
            await fail_memory(self._db, run["run_id"])
            self._on_stop()


@contextlib.contextmanager
def _may_be_cut_off(throttle: Throttle) -> Iterator[None]:
    """Around a look."""
    try:
        yield
    except DatabaseUnavailable as error:
        if not was_cut_short(error):
            raise
        log.warning("open nodes of DAGs are looked at later (%s)", type(error.__cause__).__name__)
        throttle.give_up()


def _state(row: asyncpg.Record) -> str:
    if row["verdict"] == "bypassed":
        return "b"
    return "c" if row["state"] == "completed" else "f"
