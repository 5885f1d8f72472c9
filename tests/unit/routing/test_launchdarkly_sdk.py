"""A LaunchDarkly client that is closed."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from gateway.routing.launchdarkly_sdk import close_client


class ClosedWhenTold:
    """Of `LDClient`, what `close_client` calls."""

    def __init__(self) -> None:
        self.may_close = threading.Event()

    def close(self) -> None:
        self.may_close.wait()


@pytest.mark.parametrize("steps", range(6))
async def test_a_cancellation_that_comes_with_the_end_is_heard(steps: int) -> None:
    client: Any = ClosedWhenTold()
    before = set(threading.enumerate())
    closing = asyncio.create_task(close_client(client))
    await asyncio.sleep(0)
    [thread] = set(threading.enumerate()) - before
    client.may_close.set()
    thread.join()  # its news waits for the loop, which stands here
    for _ in range(steps):
        await asyncio.sleep(0)
    was_under_way = closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled() == was_under_way
