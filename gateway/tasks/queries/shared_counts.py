"""Counts that many ask for at once, and again and again."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

#: A count that takes longer, twice in a row, is kept though it counted few (seconds): what it has to read is others'.
SLOW: Final = 0.1


class SharedCounts:
    """One computation at a time per key, and a short memory of those that counted `many`, or took long (`SLOW`).

    Such a one is kept for ten times as long as it took, at most `longest_age`. Who asks after that for one that counted
    `many` gets it while it is counted anew, for `stale` more; for `warm` after the last request it is counted again in
    the background, if that costs little. All in seconds.
    """

    _LARGEST = 1000
    #: Part of the time that one count in the background may take.
    _SHARE = 0.05

    def __init__(self, *, many: int, longest_age: float, stale: float, warm: float) -> None:
        self._many = many
        self._longest_age = longest_age
        self._stale = stale
        self._warm = warm
        self._asked: dict[Any, float] = {}
        self._timers: dict[Any, asyncio.TimerHandle] = {}
        self._running: dict[Any, asyncio.Task[Any]] = {}
        #: Until when it counts as new, until when as old, and the value.
        self._kept: OrderedDict[Any, tuple[float, float, list[Any]]] = OrderedDict()
        #: Small ones whose last count took long.
        self._slow: OrderedDict[Any, None] = OrderedDict()

    async def get(self, key: Any, compute: Callable[[], Awaitable[tuple[list[_T], int]]]) -> list[_T]:
        """The value of `compute`, which says beside it how much was counted."""
        until, old_until, kept = self._kept.get(key, (0.0, 0.0, []))
        now = self._asked[key] = time.monotonic()
        if now < until:
            return kept
        task = self._start(key, compute)
        if now < old_until:
            return kept
        # Shielded: a caller that is cancelled does not cancel the others.
        shared: list[_T] = await asyncio.shield(task)
        return shared

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._warm = 0.0

    def _start(self, key: Any, compute: Callable[[], Awaitable[tuple[list[_T], int]]]) -> asyncio.Task[Any]:
        task = self._running.get(key)
        if task is None:
            task = asyncio.ensure_future(self._compute(key, compute))
            self._running[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return task

    def _forget(self, key: Any, done: asyncio.Task[Any]) -> None:
        del self._running[key]
        if key not in self._kept:
            self._asked.pop(key, None)
        if not done.cancelled():
            done.exception()  # all callers may have been cancelled

    def _keep_warm(
        self, key: Any, compute: Callable[[], Awaitable[tuple[list[_T], int]]], ended: float, took: float
    ) -> None:
        """Count again before the count is too old, while somebody may ask and it costs little."""
        pause = self._stale * 0.8
        if ended - self._asked.get(key, 0.0) > self._warm or took > pause * self._SHARE:
            return
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()

        def again() -> None:
            del self._timers[key]
            self._start(key, compute)

        self._timers[key] = asyncio.get_running_loop().call_later(pause, again)

    async def _compute(self, key: Any, compute: Callable[[], Awaitable[tuple[list[_T], int]]]) -> list[_T]:
        started = time.monotonic()
        value, weight = await compute()
        ended = time.monotonic()
        took = ended - started
        is_large = weight >= self._many
        # What a busy machine adds to one count is not the count's.
        if is_large or (took > SLOW and key in self._slow):
            until = ended + min(10 * took, self._longest_age)
            self._kept[key] = (until, until + (self._stale if is_large else 0.0), value)
            self._kept.move_to_end(key)
            while len(self._kept) > self._LARGEST:
                self._asked.pop(self._kept.popitem(last=False)[0], None)
        else:
            self._kept.pop(key, None)
        if is_large:
            self._keep_warm(key, compute, ended, took)
        self._note_slow(key, took > SLOW)
        return value

    def _note_slow(self, key: Any, is_slow: bool) -> None:
        self._slow.pop(key, None)
        if is_slow:
            self._slow[key] = None
            while len(self._slow) > self._LARGEST:
                self._slow.popitem(last=False)
