"""Look-ups that hang: they keep their own tenant waiting, and nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from gateway.callbacks.lookups import OF_TENANT, Lookups
from workers.testing.waiting import works


class Names:
    """A resolver that hangs at names of `hangs.test` until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.hanging = threading.Semaphore(0)
        self.asked = 0

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        if host.endswith("hangs.test"):
            self.hanging.release()
            self.go.wait()
        return ["192.0.2.1", "192.0.2.1"]


@pytest.fixture
def names() -> Iterator[Names]:
    names = Names()
    yield names
    names.go.set()


async def test_one_tenants_hanging_names_stop_nobody_else(names: Names) -> None:
    lookups = Lookups(names, seconds=60)
    hanging = [asyncio.create_task(lookups.addresses("a", f"{n}.hangs.test", 80)) for n in range(40)]
    for _ in range(OF_TENANT):
        assert await asyncio.to_thread(names.hanging.acquire, timeout=10)
    async with asyncio.timeout(10):
        assert await lookups.addresses("b", "example.test", 80) == ["192.0.2.1"]
    assert names.asked == OF_TENANT + 1
    names.go.set()
    async with asyncio.timeout(10):
        assert await asyncio.gather(*hanging) == [["192.0.2.1"]] * 40
    lookups.close()


async def test_a_look_up_is_waited_for_so_long_and_keeps_its_share_until_it_ends(names: Names) -> None:
    lookups = Lookups(names, seconds=0.05)
    for n in range(OF_TENANT + 3):
        with pytest.raises(OSError, match=r"not looked up within 0\.05 s"):
            await lookups.addresses("a", f"{n}.hangs.test", 80)
    assert names.asked == OF_TENANT
    names.go.set()
    assert await works(lambda: lookups.addresses("a", "example.test", 80), OSError) == ["192.0.2.1"]
    lookups.close()
