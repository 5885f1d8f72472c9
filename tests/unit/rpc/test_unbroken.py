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
    finishing = asyncio.create_task(unbroken.finish(60))
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
    await unbroken.finish(60)


async def test_what_does_not_end_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    unbroken, never = Unbroken(), asyncio.Event()
    caller = asyncio.create_task(unbroken.run(never.wait()))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await unbroken.finish(0.01)
    assert "1 calls have not ended in time" in caplog.text
    never.set()
    await caller
