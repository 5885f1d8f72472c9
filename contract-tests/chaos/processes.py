"""The gateway and worker processes of the fault suite: started, killed, hung, started again.

A worker is a supervisor and the process under it, which is the one that runs tasks, hangs and dies.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from deploy.local import taskgate
from gateway.recovery.host_process import is_alive
from workers.testing.waiting import until

LOOK_SECONDS = 0.02
#: By then the processes under one that was killed have died, too.
END_SECONDS = 30.0


class Program:
    """A process that only starts and ends."""

    def __init__(self, argv: list[str], environment: Mapping[str, str], log: Path) -> None:
        self._argv = argv
        self._environment = environment
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv,
                env={**os.environ, **self._environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(asyncio.shield(self._process.wait()), 5)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


class Service:
    """One `taskgate …` that can be killed and started again. `kills` notes since when each pid did nothing any more."""

    def __init__(
        self, name: str, arguments: list[str], environment: Mapping[str, str], log: Path, kills: dict[int, float]
    ) -> None:
        self.name = name
        self._arguments = arguments
        self._environment = environment
        self._log = log
        self._kills = kills
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._below: dict[int, float] = {}
        """The processes under it, and when each was last seen at work."""
        self._hung: dict[int, float] = {}

    async def start(self, **more: str) -> None:
        """Start it; `more` is added to its environment for this life."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                taskgate.program(),
                *self._arguments,
                env={**os.environ, **self._environment, **more},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._watch = asyncio.create_task(self._note_death(self._process))

    async def _note_death(self, process: asyncio.subprocess.Process) -> None:
        ended = asyncio.ensure_future(process.wait())
        while not ended.done():
            await asyncio.wait([ended], timeout=LOOK_SECONDS)
            self._look(process.pid)
        self._kills[process.pid] = time.monotonic()
        while self._below:  # they die with it, a moment later
            self._look(process.pid)
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self, pid: int) -> None:
        """A process that hung and then died did nothing since it hung."""
        now = time.monotonic()
        self._below |= {child: now for child in _children(pid) if child not in self._hung}
        for child in [child for child in self._below if not is_alive(child)]:
            self._kills[child] = self._hung.pop(child, self._below[child])
            del self._below[child]

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def died(self, within: float, below: Collection[int] = ()) -> bool:
        """Whether it, one of the processes under it, or of those `below` it before, dies within so many seconds."""
        process, deadline = self._require(), time.monotonic() + within
        before = {*_children(process.pid), *below}
        while time.monotonic() < deadline:
            if process.returncode is not None or before - set(_children(process.pid)):
                return True
            before |= set(_children(process.pid))
            await asyncio.sleep(LOOK_SECONDS)
        return False

    async def kill(self) -> None:
        """All of it."""
        if self.is_alive:
            self._require().send_signal(signal.SIGKILL)
            await self._require().wait()
            await until(lambda: not any(is_alive(child) for child in self._below), within=END_SECONDS)

    def below(self) -> set[int]:
        """The processes under it."""
        return set(_children(self._require().pid))

    def kill_below(self) -> None:
        """The processes under it, which it replaces."""
        for child in self.below():
            os.kill(child, signal.SIGKILL)

    def hang(self) -> set[int]:
        """Stop the processes under it; which they are."""
        children = self.below()
        for child in children:
            os.kill(child, signal.SIGSTOP)
            self._hung[child] = time.monotonic()
        return children

    def resume(self) -> None:
        for child in [child for child in self._hung if is_alive(child)]:
            os.kill(child, signal.SIGCONT)
            self._below[child] = time.monotonic()
            del self._hung[child]

    async def end(self) -> None:
        """Orderly, by SIGTERM; by SIGKILL when it does not end."""
        if self.is_alive:
            self._require().terminate()
            try:
                await asyncio.wait_for(asyncio.shield(self._require().wait()), 15)
            except TimeoutError:
                await self.kill()

    def _require(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
