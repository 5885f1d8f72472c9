"""Calls that come at about the same time go on at the same time."""

from __future__ import annotations

import asyncio

from gateway.rpc.gathering import Gathering

#: Longer than any test: who is held goes on because others came, never because time passed.
FOREVER = 3600.0


class Calls:
    """Calls through a gathering; `went` is who went on, in order."""

    def __init__(self, gathering: Gathering) -> None:
        self.went: list[str] = []
        self._gathering = gathering
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str) -> None:
        """So many calls come, one after the other; returns when each has gone on or is held."""
        for name in names:
            self._ends[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._call(name))
            await self.settle()

    async def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()
            await self._tasks[name]

    async def leave(self, name: str) -> None:
        self._tasks[name].cancel()
        await asyncio.gather(self._tasks[name], return_exceptions=True)

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def _call(self, name: str) -> None:
        async with self._gathering:
            self.went.append(name)
            await self._ends[name].wait()


async def test_few_are_never_held() -> None:
    calls = Calls(Gathering(free=3, pause=FOREVER))
    await calls.come("a", "b", "c")
    assert calls.went == ["a", "b", "c"]
    await calls.end("a", "b")
    await calls.come("d")
    assert calls.went == ["a", "b", "c", "d"]


async def test_of_many_those_that_come_are_held_until_as_many_have_come() -> None:
    calls = Calls(Gathering(free=1, pause=FOREVER))
    await calls.come("a", "b")  # with b there are more than one: two are expected to come next
    assert calls.went == ["a", "b"]
    await calls.end("a", "b")
    await calls.come("c")
    assert calls.went == ["a", "b"]
    await calls.come("d")
    assert sorted(calls.went) == ["a", "b", "c", "d"]


async def test_nobody_is_held_longer_than_the_pause() -> None:
    calls = Calls(Gathering(free=1, pause=0.001))
    await calls.come("a", "b")
    await calls.end("a", "b")
    await calls.come("c")
    async with asyncio.timeout(10):
        while "c" not in calls.went:
            await asyncio.sleep(0.001)
    # It came alone: the next one is not held.
    await calls.end("c")
    await calls.come("d")
    assert calls.went[-1] == "d"


async def test_who_leaves_while_held_does_not_go_on() -> None:
    calls = Calls(Gathering(free=1, pause=FOREVER))
    await calls.come("a", "b", "c")
    assert calls.went == ["a", "b"]
    await calls.leave("c")
    # Its place among the held is taken, but it is not counted any more: with d, two are under way beside a and b.
    await calls.come("d")
    assert calls.went == ["a", "b", "d"]
    await calls.end("a", "b", "d")
    await calls.come("e", "f", "g")
    assert "c" not in calls.went
    assert {"e", "f", "g"} <= set(calls.went)
