"""The gateway and worker processes of the fault suite: started, killed, hung, started again."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from deploy.local import taskgate


class Service:
    """One `taskgate …` process that can be killed and started again. `kills` notes when each pid died."""

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
        await process.wait()
        self._kills[process.pid] = time.monotonic()

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def died(self, within: float) -> bool:
        """Whether it dies by itself within so many seconds."""
        try:
            await asyncio.wait_for(asyncio.shield(self._require().wait()), within)
        except TimeoutError:
            return False
        return True

    async def kill(self) -> None:
        if self.is_alive:
            self._require().send_signal(signal.SIGKILL)
            await self._require().wait()

    def hang(self) -> None:
        self._require().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self.is_alive:
            self._require().send_signal(signal.SIGCONT)

    async def end(self) -> None:
        """Orderly, by SIGTERM; by SIGKILL when it does not end."""
        if self.is_alive:
            self._require().terminate()
            if not await self.died(15):
                await self.kill()

    def _require(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process
