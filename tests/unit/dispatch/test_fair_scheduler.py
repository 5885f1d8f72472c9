"""Tenants take turns at an engine."""

from __future__ import annotations

import asyncio
import contextlib

from gateway.dispatch.fair_scheduler import FairScheduler


class Starts:
    """Starts that last until they are told to end."""

    def __init__(self, limit: int, most: int = 8, rest: float = 0.0) -> None:
        self.scheduler = FairScheduler(lambda: limit, most, lambda _: rest)
        self.begun: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def want(self, *names: str) -> None:
        for name in names:
            self.tasks[name] = asyncio.create_task(self._start(name))

    async def _start(self, name: str) -> None:
        async with self.scheduler.slot(name[0]):
            self.begun.append(name)
            await self.ends.setdefault(name, asyncio.Event()).wait()

    async def settle(self) -> list[str]:
        for _ in range(10):
            await asyncio.sleep(0)
        return self.begun

    async def end(self, name: str) -> list[str]:
        self.ends[name].set()
        return await self.settle()


async def test_a_crowd_goes_as_the_limit_says() -> None:
    starts = Starts(2)
    starts.want("a1", "a2", "a3", "a4")
    assert await starts.settle() == ["a1", "a2"]
    assert await starts.end("a1") == ["a1", "a2", "a3"]


async def test_who_has_nothing_under_way_does_not_wait() -> None:
    starts = Starts(2)
    starts.want("a1", "a2", "a3", "b1", "b2")
    assert await starts.settle() == ["a1", "a2", "b1"]


async def test_turns_go_round() -> None:
    starts = Starts(1, most=1)
    starts.want("a1", "a2", "a3", "b1", "b2", "c1")
    await starts.settle()
    for name in ("a1", "a2", "b1", "c1", "a3", "b2"):
        await starts.end(name)
    assert starts.begun == ["a1", "a2", "b1", "c1", "a3", "b2"]
    assert starts.scheduler.taken == 0


async def test_who_gives_up_leaves_no_gap() -> None:
    starts = Starts(1, most=1)
    starts.want("a1", "b1", "c1")
    await starts.settle()
    starts.tasks["b1"].cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starts.tasks["b1"]
    assert await starts.end("a1") == ["a1", "c1"]
    await starts.end("c1")
    assert starts.scheduler.taken == 0


async def test_a_crowd_rests_and_others_do_not_wait_for_that() -> None:
    starts = Starts(1, rest=0.05)
    starts.want("a1", "a2")
    await starts.settle()
    assert await starts.end("a1") == ["a1"]
    starts.want("b1")
    assert await starts.settle() == ["a1", "b1"]
    # Nothing of b waits: its place is free at once.
    assert await starts.end("b1") == ["a1", "b1"]
    starts.want("b2")
    assert await starts.settle() == ["a1", "b1", "b2"]
    async with asyncio.timeout(5):
        while "a2" not in starts.ends:
            await asyncio.sleep(0.01)
            await starts.end("b2")
    assert starts.begun == ["a1", "b1", "b2", "a2"]
