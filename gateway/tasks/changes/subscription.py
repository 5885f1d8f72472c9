"""`Subscription`: the changes of one task for one reader."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from gateway.errors import DatabaseUnavailable, TaskNotFound
from gateway.tasks.queries.task_row import TaskRow

if TYPE_CHECKING:
    from gateway.tasks.changes.feed import ChangeFeed


class SubscriptionEnded(Exception):
    """Nothing more will come: the subscription or the feed was closed."""


class Subscription:
    """The changes of one task: its present state first, then each new one; a slow reader finds only the latest.

    `async with` registers it before anything is read, so that no change is missed. `async for` ends when the
    subscription or the feed is closed. For one reader at a time.
    """

    __slots__ = ("_ended", "_feed", "_gone", "_problem", "_row", "_waiter", "is_fresh", "task_id")

    def __init__(self, feed: ChangeFeed, task_id: str) -> None:
        self.task_id = task_id
        self.is_fresh = True
        """Nothing was delivered yet."""
        self._feed = feed
        self._row: TaskRow | None = None
        self._gone = False
        self._ended = False
        self._problem: DatabaseUnavailable | None = None
        self._waiter: asyncio.Future[None] | None = None

    def open(self) -> Self:
        """Begin to receive. Without `async with`, call `close` at the end."""
        if not self._feed.add(self):
            self._ended = True
        return self

    def close(self) -> None:
        """Stop receiving, and wake the reader, which finds `SubscriptionEnded`."""
        if not self._ended:
            self._ended = True
            self._feed.remove(self)
            self._wake()

    async def __aenter__(self) -> Self:
        return self.open()

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TaskRow:
        try:
            return await self.get()
        except SubscriptionEnded:
            raise StopAsyncIteration from None

    async def get(self, timeout: float | None = None) -> TaskRow:
        """The next state of the task.

        Raises `TimeoutError` after `timeout` seconds without one, `TaskNotFound` when there is no such task (any more),
        `DatabaseUnavailable` when its present state could not be read, `SubscriptionEnded`.
        """
        while True:
            if self._ended:
                raise SubscriptionEnded
            if (row := self._row) is not None:
                self._row = None
                return row
            if self._gone:
                raise TaskNotFound
            if (problem := self._problem) is not None:
                self._problem = None
                raise problem
            await self._wait(timeout)

    async def _wait(self, timeout: float | None) -> None:
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = None if timeout is None else loop.call_later(timeout, _expire, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    # The feed's side ----------------------------------------------------------------------------------------

    def deliver(self, row: TaskRow | None) -> None:
        """A state that was read; None: there is no such task."""
        self.is_fresh = False
        self._row = row
        self._gone = row is None
        self._wake()

    def fail(self, problem: DatabaseUnavailable) -> None:
        """The first state could not be read."""
        self._problem = problem
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
