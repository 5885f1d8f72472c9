"""What must not stop half-way."""

from __future__ import annotations

import asyncio

import pytest

from gateway.rpc.calls import Unbroken


async def test_work_goes_on_when_its_caller_leaves() -> None:
    unbroken = Unbroken()
    begun, go, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go.wait()
        done.set()

    caller = asyncio.create_task(unbroken.run(work()))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    finishing = asyncio.create_task(unbroken.finish())
    go.set()
    await finishing
    assert done.is_set()


async def test_its_result_and_its_error_are_the_callers() -> None:
    unbroken = Unbroken()

    async def fail() -> None:
        raise LookupError("x")

    assert await unbroken.run(asyncio.sleep(0, 7)) == 7
    with pytest.raises(LookupError):
        await unbroken.run(fail())
    await unbroken.finish()
