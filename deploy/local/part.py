"""What every part of the stack has in common: found or built, started, healthy, stopped, and faults for tests."""

from __future__ import annotations

import asyncio
import signal
from abc import ABC, abstractmethod
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.builds import Report
from deploy.local.errors import StackError
from deploy.local.ports import DEFAULT_PORTS, require_free, until_free, variable
from deploy.local.process import Command, ManagedProcess

#: A killed process is gone for its parent a moment before its last thread closes its sockets.
PORT_SECONDS = 3.0


class Part(ABC):
    """One server process. Subclasses say how it is found, started and asked for its health."""

    name: str
    start_seconds: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 15.0

    def __init__(self, name: str, directory: Path, port: int, report: Report) -> None:
        self.name = name
        self.directory = directory
        self.port = port
        self.report = report
        self.process = ManagedProcess(name, directory)

    @abstractmethod
    async def prepare(self) -> None:
        """Finds the program or builds it; slow the first time only."""

    @abstractmethod
    async def command(self) -> Command:
        """Makes what the process needs (configuration, data directory) and says how to start it."""

    @abstractmethod
    async def healthy(self) -> bool:
        """Whether the server answers as its clients need it to."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The address for clients."""

    @property
    def port_variable(self) -> str:
        """The environment variable that moves this part to another port."""
        return variable(self.name.replace("-", "_"))

    async def start(self) -> None:
        """Starts the part and waits for its health; a part that runs and is healthy is left alone."""
        if self.process.find() is not None:
            recorded = self.process.record().get("port")
            if recorded != self.port:
                raise StackError(f"{self.name}: is running on port {recorded}, not {self.port}; stop it first")
            await self.process.wait_healthy(self.healthy, self.start_seconds)
            self.report(f"{self.name}: already running on port {self.port}")
            return
        await self.prepare()
        if self.port:
            await until_free(self.port, PORT_SECONDS)
            require_free(self.name, self.port, self.port_variable)
        self.process.start(await self.command(), self.notes())
        await self.process.wait_healthy(self.healthy, self.start_seconds)
        await self.after_start()
        self.report(f"{self.name}: running" + (f" on port {self.port}" if self.port else ""))

    def notes(self) -> dict[str, int]:
        """The ports, kept in the pid file for whoever finds the process running."""
        return {"port": self.port}

    async def after_start(self) -> None:
        """Set-up on the running server that others need before they may use it."""
        return

    async def stop(self) -> bool:
        """Stops the part if it is ours and runs; says whether there was anything to stop."""
        return await self.process.stop(self.stop_signal, self.stop_seconds)

    async def kill(self) -> None:
        """SIGKILL, for tests of faults; `start` brings it back on the same port with the same data."""
        await self.process.kill()

    async def pause(self) -> None:
        """SIGSTOP, for tests of faults."""
        await self.process.pause()

    async def resume(self) -> None:
        """SIGCONT."""
        await self.process.resume()

    @property
    def running(self) -> bool:
        """Whether the process that this stack started is alive."""
        return self.process.find() is not None


class External:
    """A part that the environment names: somebody else's server, never started or stopped here."""

    def __init__(self, name: str, url: str, named_by: str) -> None:
        self.name = name
        self.url = url
        self.named_by = named_by

    async def reachable(self) -> bool:
        """Whether something listens there; more cannot be asked without knowing whose server it is."""
        parts = urlsplit(self.url if "://" in self.url else f"//{self.url}")
        try:
            async with asyncio.timeout(3):
                _, writer = await asyncio.open_connection(parts.hostname, parts.port or DEFAULT_PORTS[self.name])
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True
