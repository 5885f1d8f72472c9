"""Watched runs, and which of their nodes have changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database

log = logging.getLogger(__name__)

#: Changes are gathered for so long before they are looked up (seconds).
_GATHER_SECONDS = 0.05

_NODES = "SELECT run_id, path FROM taskgate.dag_node WHERE task_id = ANY ($1::text[]) AND run_id = ANY ($2::text[])"


class RunSubscription:
    """What changed of one run since it was last asked; from `open` to `close`."""

    def __init__(self, watch: RunWatch, run_id: str) -> None:
        self.run_id = run_id
        self._watch = watch
        self._paths: dict[str, None] = {}
        self._is_whole = False
        self._changed = asyncio.Event()
        self.is_closed = False

    def open(self) -> RunSubscription:
        """Begin; closed at once when the process is shutting down."""
        self._watch.add(self)
        return self

    def close(self) -> None:
        """End it; whoever waits is told."""
        self.is_closed = True
        self._watch.remove(self)
        self._changed.set()

    async def changes(self, timeout: float) -> list[str] | None:
        """Paths of nodes that changed (none: the run did, which may have new nodes); None after `timeout` seconds
        without a change."""
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return None
        self._changed.clear()
        paths, self._paths = list(self._paths), {}
        is_whole, self._is_whole = self._is_whole, False
        return [] if is_whole else paths

    def deliver(self, paths: Iterable[str], *, is_whole: bool) -> None:
        """`is_whole`: the run itself changed as well; its new nodes are not among the paths."""
        self._paths.update(dict.fromkeys(paths))
        self._is_whole |= is_whole
        self._changed.set()


class RunWatch:
    """The subscriptions of this process. Belongs to one event loop."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._watched: dict[str, set[RunSubscription]] = {}
        self._heard: dict[str, None] = {}
        self._looking: asyncio.Task[None] | None = None
        self._is_over = False

    @property
    def is_watched(self) -> bool:
        return bool(self._watched)

    @property
    def subscriptions(self) -> int:
        """How many there are."""
        return sum(map(len, self._watched.values()))

    def subscribe(self, run_id: str) -> RunSubscription:
        return RunSubscription(self, run_id)

    def add(self, subscription: RunSubscription) -> None:
        if self._is_over:
            subscription.is_closed = True
            return
        self._watched.setdefault(subscription.run_id, set()).add(subscription)

    def remove(self, subscription: RunSubscription) -> None:
        found = self._watched.get(subscription.run_id, set())
        found.discard(subscription)
        if not found:
            self._watched.pop(subscription.run_id, None)

    def end_streams(self) -> None:
        """End every subscription, now and from now on."""
        self._is_over = True
        for subscriptions in list(self._watched.values()):
            for subscription in list(subscriptions):
                subscription.close()

    def heard(self, task_ids: Iterable[str]) -> None:
        """Tasks changed; which of them belong to watched runs is looked up a little later, for all together."""
        if not self._watched:
            return
        self._heard.update(dict.fromkeys(task_ids))
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_up(), name="dag-watch")

    async def _look_up(self) -> None:
        try:
            while self._heard:
                await asyncio.sleep(_GATHER_SECONDS)
                ids, self._heard = list(self._heard), {}
                changed = self._watched.keys() & ids
                found: dict[str, list[str]] = {run_id: [] for run_id in changed}
                with contextlib.suppress(DatabaseUnavailable):
                    for row in await self._db.fetch(_NODES, ids, list(self._watched)):
                        found.setdefault(row["run_id"], []).append(row["path"])
                for run_id, paths in found.items():
                    for subscription in self._watched.get(run_id, ()):
                        subscription.deliver(paths, is_whole=run_id in changed)
        except Exception:
            log.exception("changes of DAG runs could not be looked up")
        finally:
            self._looking = None
