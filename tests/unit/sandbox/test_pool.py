"""The sandbox: what a function may cost, and what is left when it costs more."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator

import psutil
import pytest
import pytest_asyncio

from gateway.sandbox.pool import Sandbox, SandboxExceeded


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
