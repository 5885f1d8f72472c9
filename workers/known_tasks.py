"""The tasks that a worker process is busy with, from an offer to its last report."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any


class KnownTasks:
    """Counts offers by task: the same task may be offered again while an earlier offer is being ended."""

    def __init__(self) -> None:
        self._offers: Counter[str] = Counter()

    def tasks(self) -> frozenset[str]:
        """Their ids."""
        return frozenset(self._offers)

    @contextmanager
    def entered(self, task_id: str) -> Iterator[Offered]:
        """The task is known until the block and the last step of the offer (`finish`) have ended."""
        self._offers[task_id] += 1
        offer = Offered()
        try:
            yield offer
        finally:
            if offer.ending is None or offer.ending.done():
                self._forget(task_id)
            else:
                offer.ending.add_done_callback(lambda _: self._forget(task_id))

    def _forget(self, task_id: str) -> None:
        self._offers[task_id] -= 1
        if not self._offers[task_id]:
            del self._offers[task_id]


class Offered:
    """One offer of a task. `ending` continues even if its engine no longer waits for it."""

    def __init__(self) -> None:
        self.ending: asyncio.Task[None] | None = None

    async def finish(self, step: Coroutine[Any, Any, None]) -> None:
        """Carry out the last step, even if the caller is cancelled meanwhile (once more)."""
        self.ending = asyncio.create_task(step)
        await asyncio.shield(self.ending)
