"""The sandbox: what a function may cost, and what is left when it costs more."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from gateway.sandbox.pool import Sandbox, SandboxExceeded, SandboxLost


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(processes=1, megabytes=100)
    yield sandbox
    await sandbox.close()


async def test_what_a_function_returns_or_raises_comes_back(sandbox: Sandbox) -> None:
    assert await sandbox.run(10, divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await sandbox.run(10, divmod, 7, 0)


async def test_a_function_that_takes_too_much_processor_time_is_killed(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sandbox.pool.WAIT", 200)  # a busy machine may give it little of its time
    with pytest.raises(SandboxExceeded, match=r"longer than 0\.3 s"):
        await sandbox.run(0.3, pow, 7, 10**9)
    assert await sandbox.run(10, divmod, 7, 2) == (3, 1)


async def test_a_function_that_waits_too_long_is_killed(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxExceeded, match=r"longer than 1\.5 s"):
        await sandbox.run(0.3, time.sleep, 600)
    assert await sandbox.run(10, divmod, 7, 2) == (3, 1)


async def test_a_function_that_needs_too_much_memory_ends(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxExceeded, match="more than 100 MB"):
        await sandbox.run(10, bytes, 500 * 1024 * 1024)
    with pytest.raises(SandboxExceeded, match="more than 100 MB"):
        await sandbox.run(10, os.abort)  # as a library in C ends whose memory is refused
    assert await sandbox.run(10, divmod, 7, 2) == (3, 1)


async def test_no_child_is_left_after_the_end() -> None:
    sandbox = Sandbox(processes=2, megabytes=100)
    child = await sandbox.run(10, os.getpid)
    assert psutil.pid_exists(child)
    await sandbox.close()
    psutil.wait_procs([psutil.Process(child)] if psutil.pid_exists(child) else [], timeout=5)
    assert not psutil.pid_exists(child)


async def test_a_child_that_is_killed_while_nobody_calls_is_replaced(sandbox: Sandbox) -> None:
    child = await sandbox.run(10, os.getpid)
    os.kill(child, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(child)] if psutil.pid_exists(child) else [], timeout=5)
    for _ in range(20):
        assert await sandbox.run(10, divmod, 7, 2) == (3, 1)


def kill_once(mark: Path) -> str:
    """Ends its process from outside, as the system does when memory is short, but for the second time."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "answered"


async def test_a_call_whose_child_is_killed_is_made_again(sandbox: Sandbox, tmp_path: Path) -> None:
    assert await sandbox.run(10, kill_once, tmp_path / "mark") == "answered"


async def test_a_call_that_ends_every_child_is_given_up(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxLost, match="lost again and again"):
        await sandbox.run(10, signal.raise_signal, signal.SIGKILL)
    assert await sandbox.run(10, divmod, 7, 2) == (3, 1)


async def test_calls_that_are_cut_spoil_no_others(sandbox: Sandbox) -> None:
    """Cut at any moment, also just when the child answers."""
    chance = random.Random(1)

    async def cut() -> None:
        call = asyncio.create_task(sandbox.run(10, divmod, 7, 2))
        await asyncio.sleep(chance.uniform(0, 0.004))
        call.cancel()
        await asyncio.wait({call})

    async with asyncio.timeout(50):
        for _ in range(40):
            await cut()
            assert await sandbox.run(10, divmod, 7, 2) == (3, 1)


async def test_calls_under_way_end_with_the_sandbox(tmp_path: Path) -> None:
    sandbox = Sandbox(processes=1, megabytes=100)
    calls = [asyncio.create_task(sandbox.run(10, time.sleep, 600)) for _ in range(3)]
    await asyncio.wait(calls, timeout=0.5)
    await sandbox.close()
    async with asyncio.timeout(10):
        await asyncio.wait(calls)
    assert all(call.cancelled() for call in calls)
