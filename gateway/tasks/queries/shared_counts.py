"""Counts that many ask for at once, and again and again."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

_T = TypeVar("_T")


class SharedCounts:
    """One computation at a time per key, and a short memory of the large ones: of those that counted `many`.

    Such a one is kept for ten times as long as it took, at most `longest_age`; who asks after that gets it while it is
    counted anew, for `stale` more. For `warm` after the last request it is counted again in the background, if that
    costs little. All in seconds.
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
        self._kept: OrderedDict[Any, tuple[float, list[Any]]] = OrderedDict()

    async def get(self, key: Any, compute: Callable[[], Awaitable[tuple[list[_T], int]]]) -> list[_T]:
        """The value of `compute`, which says beside it how much was counted."""
        until, kept = self._kept.get(key, (0.0, []))
        now = self._asked[key] = time.monotonic()
        if now < until:
            return kept
        task = self._start(key, compute)
        if now < until + self._stale and key in self._kept:
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
        if weight >= self._many:
            self._kept[key] = (ended + min(10 * (ended - started), self._longest_age), value)
            self._kept.move_to_end(key)
            while len(self._kept) > self._LARGEST:
                self._asked.pop(self._kept.popitem(last=False)[0], None)
            self._keep_warm(key, compute, ended, ended - started)
        else:
            self._kept.pop(key, None)
        return value
