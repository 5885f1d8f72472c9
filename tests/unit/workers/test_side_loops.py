"""Loops beside the work of a worker outlive what goes wrong in them."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from workers import side_loops
from workers.side_loops import forever


async def test_a_step_that_fails_is_logged_and_taken_again(caplog: pytest.LogCaptureFixture) -> None:
    steps, done = 0, asyncio.Event()

    async def step() -> None:
        nonlocal steps
        steps += 1
        if steps == 1:
            raise asyncpg.DiskFullError("could not extend file")
        if steps == 3:
            done.set()
            await asyncio.Event().wait()

    looping = asyncio.create_task(forever("the check", step, pause=0.0))
    async with asyncio.timeout(5):
        await done.wait()
    looping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looping
    [record] = (one for one in caplog.records if one.name == side_loops.__name__)
    assert record.getMessage() == "the check: failed, is tried again"
    assert record.exc_info is not None
