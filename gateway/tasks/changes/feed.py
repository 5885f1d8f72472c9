"""`ChangeFeed`: pushes changes of tasks to their subscribers (contract S1).

The listener of the process receives notifications. The rows of changed tasks are read in one query for all streams, and
only if somebody watches them. Unmodified legacy workers do not notify, so a sweep reads all watched tasks from time to
time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from itertools import islice

from gateway.errors import DatabaseUnavailable, ShuttingDown
from gateway.storage.listener import Listener
from gateway.tasks.changes.notifier import CHANGES_CHANNEL, unpack
from gateway.tasks.changes.subscription import Subscription
from gateway.tasks.queries.task_log import TaskLog
from gateway.tasks.queries.task_row import FINISHED, TaskRow

log = logging.getLogger(__name__)

#: Tasks that are read, or looked at by the sweep, in one query.
_BATCH = 1000
#: Pauses (seconds) between attempts to reach PostgreSQL: the first, doubled up to the last.
_FIRST_PAUSE, _LAST_PAUSE = 0.05, 2.0


class ChangeFeed:
    """Watches tasks for any number of subscriptions. Belongs to one event loop.

    `sweep_seconds`: how late a change without a notification may be seen. `gather_seconds`: pause between two reads, in
    which changes are collected for the next one.
    """

    def __init__(
        self, listener: Listener, task_log: TaskLog, *, sweep_seconds: float = 1.0, gather_seconds: float = 0.003
    ) -> None:
        self._listener = listener
        listener.subscribe(CHANGES_CHANNEL, self._heard, missed=self._look_again)
        self._task_log = task_log
        self._sweep_seconds = sweep_seconds
        self._gather_seconds = gather_seconds
        self._watched: dict[str, set[Subscription]] = {}
        self._last_told: dict[str, tuple[str, int]] = {}
        self._changed: dict[str, bool] = {}
        """Tasks to be read; True: for all who watch, False: for new subscriptions only."""
        self._has_changes = asyncio.Event()
        self._is_watched = asyncio.Event()
        self._ended = False
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to work; PostgreSQL may be away. Does not wait for the connection (`wait_listening` does)."""
        self._listener.start()
        if not self._loops:
            self._loops = [
                asyncio.create_task(loop(), name=f"feed-{loop.__name__.strip('_')}")
                for loop in (self._read, self._sweep)
            ]

    async def wait_listening(self) -> None:
        """Return when changes are being listened to."""
        await self._listener.wait_listening()

    @property
    def is_listening(self) -> bool:
        """Whether it listens, which also shows that PostgreSQL is available."""
        return self._listener.is_listening

    def end_streams(self) -> None:
        """End every subscription, now and from now on. For the moment when a shutdown begins: streams are requests
        under way, and a server that finishes those first would wait for them."""
        self._ended = True
        for subscriptions in list(self._watched.values()):
            for subscription in list(subscriptions):
                subscription.close()

    async def close(self) -> None:
        """End every subscription and stop."""
        self.end_streams()
        loops, self._loops = self._loops, []
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)

    @property
    def watched(self) -> int:
        """How many tasks are watched."""
        return len(self._watched)

    @property
    def subscriptions(self) -> int:
        """How many subscriptions there are."""
        return sum(map(len, self._watched.values()))

    def subscribe(self, task_id: str) -> Subscription:
        """A subscription to a task, to be opened with `async with`."""
        return Subscription(self, task_id)

    async def wait_terminal(self, task_id: str, timeout: float | None = None) -> TaskRow:
        """The task, once it is COMPLETED, FAILED or STOPPED.

        Raises `TimeoutError` after `timeout` seconds, `TaskNotFound`, `DatabaseUnavailable`, and `ShuttingDown` when
        the feed is closed first.
        """
        async with asyncio.timeout(timeout), self.subscribe(task_id) as changes:
            async for row in changes:
                if row.is_finished:
                    return row
        raise ShuttingDown(retry_after=1)

    # Subscriptions' side ------------------------------------------------------------------------------------

    def add(self, subscription: Subscription) -> bool:
        """Register; False when the feed has ended."""
        if self._ended:
            return False
        self._watched.setdefault(subscription.task_id, set()).add(subscription)
        self._is_watched.set()
        self._to_read((subscription.task_id,), for_all=False)
        return True

    def remove(self, subscription: Subscription) -> None:
        """Forget; does nothing for one that is not registered."""
        subscriptions = self._watched.get(subscription.task_id, set())
        subscriptions.discard(subscription)
        if not subscriptions:
            self._watched.pop(subscription.task_id, None)
            self._last_told.pop(subscription.task_id, None)
            self._changed.pop(subscription.task_id, None)
            if not self._watched:
                self._is_watched.clear()

    def _to_read(self, task_ids: Iterable[str], *, for_all: bool) -> None:
        for task_id in task_ids:
            if task_id in self._watched:
                self._changed[task_id] = for_all or self._changed.get(task_id, False)
                self._has_changes.set()

    # Reading ------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            await self._has_changes.wait()
            batch = {task_id: self._changed.pop(task_id) for task_id in list(islice(self._changed, _BATCH))}
            if not self._changed:
                self._has_changes.clear()
            try:
                rows = await self._task_log.read(batch)
            except DatabaseUnavailable as problem:
                self._fail(batch, problem)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LAST_PAUSE)
            except Exception:
                log.exception("changes of tasks could not be read")
                self._fail(batch, DatabaseUnavailable(retry_after=2))
                await asyncio.sleep(_LAST_PAUSE)
            else:
                pause = _FIRST_PAUSE
                self._deliver(batch, rows)
                await asyncio.sleep(self._gather_seconds)

    def _deliver(self, batch: dict[str, bool], rows: dict[str, TaskRow]) -> None:
        for task_id, for_all in batch.items():
            subscriptions = self._watched.get(task_id)
            if subscriptions is None:
                continue
            row = rows.get(task_id)
            latest = None if row is None else (row.status, row.progress)
            is_news = for_all or self._last_told.get(task_id) != latest
            if latest is None:
                self._last_told.pop(task_id, None)
            else:
                self._last_told[task_id] = latest
            for subscription in subscriptions:
                if is_news or subscription.is_fresh:
                    subscription.deliver(row)

    def _fail(self, batch: dict[str, bool], problem: DatabaseUnavailable) -> None:
        """Tell new subscriptions; those that have seen their task wait until PostgreSQL is back."""
        for task_id, for_all in batch.items():
            for subscription in list(self._watched.get(task_id, ())):
                if subscription.is_fresh:
                    subscription.fail(problem)
            self._to_read((task_id,), for_all=for_all)

    async def _sweep(self) -> None:
        while True:
            await self._is_watched.wait()
            await asyncio.sleep(self._sweep_seconds)
            unfinished = [task_id for task_id, (status, _) in self._last_told.items() if status not in FINISHED]
            for start in range(0, len(unfinished), _BATCH):
                batch = unfinished[start : start + _BATCH]
                try:
                    latest = await self._task_log.progress_of(batch)
                except DatabaseUnavailable:
                    break
                except Exception:
                    log.exception("watched tasks could not be looked at")
                    break
                self._to_read(
                    (i for i in batch if i in self._last_told and latest.get(i) != self._last_told[i]), for_all=True
                )

    # Listening ----------------------------------------------------------------------------------------------

    def _heard(self, payload: str) -> None:
        if self._watched:
            self._to_read(unpack(payload), for_all=True)

    def _look_again(self) -> None:
        """Read everything that may have changed while nothing was listening."""
        self._to_read(list(self._watched), for_all=True)
