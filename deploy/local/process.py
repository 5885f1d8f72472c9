"""One child process: started detached with a log and a pid file, and stopped only while the pid is still ours."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from deploy.local.env import inherited
from deploy.local.errors import UnhealthyError

Probe = Callable[[], Awaitable[bool]]

POLL_SECONDS = 0.05
# The kernel gives start times in hundredths of a second, relative to a boot time that clock adjustments may move.
START_TIME_TOLERANCE = 1.5

HALTED = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


@dataclass(frozen=True)
class Command:
    """What to run."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


class ManagedProcess:
    """A process that may have been started by an earlier run; `directory` holds its pid file and log."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.pid_file = directory / "run" / f"{name}.json"
        self.log_file = directory / "logs" / f"{name}.log"
        self._child: subprocess.Popen[bytes] | None = None

    def find(self) -> psutil.Process | None:
        """The live process, verified by pid and start time; None when it is gone."""
        if self._child is not None:
            self._child.poll()  # reaps it, so that a child that ended does not stay as a zombie
        record = self.record()
        try:
            process = psutil.Process(int(record["pid"]))
            same = abs(process.create_time() - float(record["created"])) < START_TIME_TOLERANCE
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (KeyError, psutil.NoSuchProcess):
            return None

    def record(self) -> dict[str, str | int | float]:
        """What the pid file says: `pid`, `created`, and what `start` was given; empty when there is none."""
        try:
            record = json.loads(self.pid_file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return record if isinstance(record, dict) else {}

    def start(self, command: Command, notes: Mapping[str, str | int] | None = None) -> None:
        """Starts the process in a session of its own, so that it outlives this one; `notes` go into the pid file."""
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        with self.log_file.open("ab") as log:
            self._child = subprocess.Popen(
                list(command.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**inherited(), **command.env},
                cwd=command.cwd,
                start_new_session=True,
            )
        record = {
            **(notes or {}),
            "pid": self._child.pid,
            "created": psutil.Process(self._child.pid).create_time(),
        }
        temporary = self.pid_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(record))
        temporary.replace(self.pid_file)

    async def wait_healthy(self, probe: Probe, timeout: float) -> None:
        """Returns once `probe` says so; raises when the process dies first or the time is up."""
        deadline = time.monotonic() + timeout
        while True:
            if self.find() is None:
                raise UnhealthyError(f"{self.name}: ended while starting: {self.last_words()} (log: {self.log_file})")
            if await probe():
                return
            if time.monotonic() > deadline:
                raise UnhealthyError(
                    f"{self.name}: not healthy after {timeout:.0f} s: {self.last_words()} (log: {self.log_file})"
                )
            await asyncio.sleep(POLL_SECONDS)

    async def stop(self, with_signal: signal.Signals, timeout: float) -> bool:
        """Asks the process to end, and kills it when it does not; False when there was nothing to stop."""
        process = self.find()
        if process is None:
            self.pid_file.unlink(missing_ok=True)
            return False
        family = _family(process)
        self._signal(family, signal.SIGCONT)
        self._signal([process], with_signal)
        if not await self._gone([process], timeout):
            await self.kill()
        # Descendants that outlived their parent would keep its port and files.
        if not await self._gone(family, 2.0):
            self._signal([member for member in family if member.is_running()], signal.SIGKILL)
            await self._gone(family, 5.0)
        self.pid_file.unlink(missing_ok=True)
        return True

    async def kill(self) -> None:
        """SIGKILL to the process and all its descendants, as a machine that loses power would."""
        process = self.find()
        if process is None:
            return
        family = _family(process)
        self._signal(family, signal.SIGKILL)
        await self._gone(family, 10.0)

    async def pause(self) -> None:
        """SIGSTOP to the process and its descendants: they keep their connections and answer nothing."""
        process = self.find()
        if process is not None:
            # The parent first, so that it starts no new children meanwhile.
            self._signal([process], signal.SIGSTOP)
            await _until(lambda: _has_status(process, *HALTED))
            family = _family(process)
            self._signal(family, signal.SIGSTOP)
            await _until(lambda: all(_has_status(member, *HALTED) for member in family))

    async def resume(self) -> None:
        """SIGCONT to what `pause` stopped."""
        process = self.find()
        if process is not None:
            family = _family(process)
            self._signal(family, signal.SIGCONT)
            await _until(lambda: not any(_has_status(member, psutil.STATUS_STOPPED) for member in family))

    def last_words(self) -> str:
        """The last line of the log that is not empty."""
        try:
            tail = self.log_file.read_bytes()[-4096:].decode(errors="replace")
        except FileNotFoundError:
            return "it wrote no log"
        lines = [line.strip() for line in tail.splitlines() if line.strip()]
        return lines[-1] if lines else "its log is empty"

    async def _gone(self, processes: Sequence[psutil.Process], timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while True:
            if self._child is not None:
                self._child.poll()
            if not any(_alive(process) for process in processes):
                return True
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_SECONDS / 5)

    @staticmethod
    def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def started(directory: Path) -> set[str]:
    """The names of all processes that were started in this directory and not stopped since."""
    return {path.stem for path in (directory / "run").glob("*.json")}


async def destroy_directory(directory: Path) -> None:
    """Kills every process that was started in this directory, and removes it."""
    await asyncio.gather(*(ManagedProcess(name, directory).kill() for name in started(directory)))
    await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


def _family(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return [process]


async def _until(condition: Callable[[], bool]) -> None:
    # A signal is on its way for a moment after it was sent.
    while not condition():
        await asyncio.sleep(POLL_SECONDS / 50)


def _has_status(process: psutil.Process, *statuses: str) -> bool:
    try:
        return process.status() in statuses
    except psutil.NoSuchProcess:
        return psutil.STATUS_DEAD in statuses


def _alive(process: psutil.Process) -> bool:
    return process.is_running() and not _has_status(process, psutil.STATUS_DEAD, psutil.STATUS_ZOMBIE)
