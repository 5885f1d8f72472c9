"""Processes that are measured: workers, servers, and all that those have started."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from deploy.local.stack import EmbeddedStack

SERVERS = ("postgres", "redis", "temporal", "gateway")


class WorkerProcess:
    """A worker with all processes that it starts: one process group."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def pids(self) -> set[int]:
        return tree(self.process.pid)

    async def kill(self) -> None:
        """SIGKILL for all of it at once."""
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()

    async def end(self) -> None:
        """SIGTERM; SIGKILL when that does not help within some seconds."""
        if self.process.returncode is None:
            self.process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), 5)
        for pid in self.pids:
            _kill(pid)
        await self.kill()


def tree(pid: int) -> set[int]:
    """A process and all that it started."""
    try:
        process = psutil.Process(pid)
        return {pid, *(child.pid for child in process.children(recursive=True))}
    except psutil.Error:
        return set()


def cpu_of(pids: set[int]) -> float:
    """Seconds of processor time that these processes have used."""
    total = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


class Busy:
    """How busy the machine was since this was made: the share of its processors' time that anything ran."""

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    def share(self) -> float:
        after = psutil.cpu_times()
        spent = {name: value - getattr(self._before, name) for name, value in after._asdict().items()}
        idle = spent["idle"] + spent.get("iowait", 0.0)
        # Times of guests are within those of others.
        total = sum(seconds for name, seconds in spent.items() if not name.startswith("guest"))
        return (total - idle) / total if total else 0.0


def resident_mb(pid: int) -> float:
    """Megabytes, of shared pages the process's part: PostgreSQL's processes share most of theirs."""
    try:
        return float(psutil.Process(pid).memory_full_info().pss) / 2**20
    except psutil.Error:
        return 0.0


async def server_pids(stack: EmbeddedStack) -> dict[str, set[int]]:
    """The processes of each server of the stack."""
    return {status.name: tree(status.pid) for status in await stack.status() if status.pid and status.name in SERVERS}


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


async def run_to_end(*arguments: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
    """Raises `RuntimeError`, with the end of its output, when it fails."""
    process = await asyncio.create_subprocess_exec(
        *arguments,
        env=None if environment is None else dict(environment),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments[:3])} failed:\n{output.decode(errors='replace')[-3000:]}")
