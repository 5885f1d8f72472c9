"""One reading for all who ask."""

from __future__ import annotations

import asyncio

import pytest

from gateway.http.shared_reading import SharedReading


class Source:
    """What is read: it counts, answers when told, and fails while it is `broken`."""

    def __init__(self) -> None:
        self.readings = 0
        self.broken = False
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.now = 0.0
        self.shared = SharedReading(self.read, seconds=1.0, clock=lambda: self.now)

    async def read(self) -> int:
        self.readings += 1
        self.begun.set()
        await self.go.wait()
        if self.broken:
            raise RuntimeError
        return self.readings


@pytest.fixture
async def source() -> Source:
    return Source()


async def test_all_wait_for_the_one_that_is_under_way(source: Source) -> None:
    asked = [asyncio.ensure_future(source.shared.get()) for _ in range(50)]
    await source.begun.wait()
    source.now = 10.0
    late = asyncio.ensure_future(source.shared.get())
    source.go.set()
    assert await asyncio.gather(*asked, late) == [1] * 51


async def test_it_is_kept_from_its_end_on(source: Source) -> None:
    source.go.set()
    assert await source.shared.get() == 1
    source.now = 0.9
    assert await source.shared.get() == 1
    source.now = 1.0
    assert await source.shared.get() == 2


async def test_a_failure_is_kept_no_longer(source: Source) -> None:
    source.go.set()
    source.broken = True
    for _ in range(3):
        with pytest.raises(RuntimeError):
            await source.shared.get()
    assert source.readings == 1
    source.broken, source.now = False, 1.0
    assert await source.shared.get() == 2


async def test_who_gives_up_ends_it_for_nobody(source: Source) -> None:
    first, second = (asyncio.ensure_future(source.shared.get()) for _ in range(2))
    await source.begun.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    source.go.set()
    assert await second == 1
