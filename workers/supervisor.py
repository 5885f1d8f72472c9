"""`taskgate worker`: keeps worker processes running, and kills one that hangs past its lease.

SIGTERM and SIGINT drain all processes and end; SIGHUP replaces them one after the other (rolling restart): a new one is
ready before an old one drains. A process that dies is replaced at once, one that dies again and again after a pause,
and one that was marked to drain not before the next SIGHUP.
When the supervisor is killed its processes die with it, and their tasks run elsewhere.

It imports little, so that it needs little memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.observability.logs import set_up_logs
from gateway.recovery.guard import GUARD, GuardEnd, clock
from gateway.recovery.host_process import resident_bytes

log = logging.getLogger("workers.supervisor")

#: If a process lived for less than this, the next one is started after a longer pause (seconds).
GOOD_LIFE_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
#: Exit code of a process that has logged why it cannot start. If no other process runs, it is not tried again.
CANNOT_START = os.EX_CONFIG
#: Exit code of a process that somebody has marked to drain: its place stays empty.
DRAINED = os.EX_TEMPFAIL
#: How long a rolling restart waits for a new process to take tasks.
READY_SECONDS = 120.0
MEMORY_SECONDS = 1.0
#: A process over its memory limit drains; over this multiple of it, it is killed.
MEMORY_HARD = 1.25
#: What a drain may take beyond the grace that the process itself keeps.
DRAIN_MARGIN = 10.0


class Child:
    """One worker process."""

    def __init__(self, process: asyncio.subprocess.Process, end: GuardEnd, on_ready: Callable[[], None]) -> None:
        self.process = process
        self.end = end
        self.started = time.monotonic()
        self.ready = asyncio.Event()
        self._on_ready = on_ready
        self.leaving = False
        """It was told to end, so it is not replaced."""
        self._watch: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(end.descriptor, self._on_word)

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        if self.process.returncode is None:
            self.process.send_signal(number)

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._loop.remove_reader(self.end.descriptor)
        self.end.close()

    def memory(self) -> int:
        """Resident bytes; 0 when the process is gone."""
        return resident_bytes(self.pid)

    def _on_word(self) -> None:
        if not self.end.read():
            self._loop.remove_reader(self.end.descriptor)
            return
        if self.end.is_ready and not self.ready.is_set():
            self.ready.set()
            self._on_ready()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if (left := self.end.deadline - clock()) < math.inf:
            self._watch = self._loop.call_later(max(left, 0.0), self._judge)

    def _judge(self) -> None:
        """Kill it, unless a new deadline has arrived that was not read yet."""
        self.end.read()
        if self.end.deadline > clock():
            self._on_word()
        else:
            log.error("worker process %d stood still past its lease: it is killed", self.pid)
            self.send(signal.SIGKILL)


class Place:
    """The place of one process; for a short time of two, while a new one replaces the old one."""

    def __init__(self) -> None:
        self.child: Child | None = None
        self.next: Child | None = None
        self.starting = asyncio.Lock()
        """Held while a process is started for it: whoever comes second finds that one, and starts none."""
        self.wanted = asyncio.Event()
        """Whether it is to have a process; not, once that was drained."""
        self.wanted.set()


class Supervisor:
    """Runs `command` in `processes` processes until told to end. Grace in seconds, memory in bytes (0: no limit)."""

    def __init__(
        self, command: Sequence[str], *, processes: int, drain: float, memory: int = 0, ready_file: Path | None = None
    ) -> None:
        self._command = list(command)
        self._places = [Place() for _ in range(processes)]
        self._drain = drain
        self._memory = memory
        self._ready_file = ready_file
        self._children: set[Child] = set()
        self._ending = asyncio.Event()
        self._code = 0
        self._restart_wanted = asyncio.Event()
        self._renewal: asyncio.Task[None] | None = None
        """Of a process that uses too much memory."""

    async def run(self) -> int:
        """The exit code: 0 after an orderly end, `CANNOT_START` when no process can."""
        loop = asyncio.get_running_loop()
        if self._ready_file is not None:  # of one before: a container that is started anew keeps its volumes
            self._ready_file.unlink(missing_ok=True)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        loop.add_signal_handler(signal.SIGHUP, self._restart_wanted.set)
        keepers = [asyncio.create_task(self._keep(place)) for place in self._places]
        beside = [asyncio.create_task(step()) for step in (self._restart_forever, self._watch_memory)]
        await self._ending.wait()
        for task in beside:
            task.cancel()
        for child in list(self._children):
            self._dismiss(child)
        await asyncio.gather(*keepers)
        return self._code

    async def _keep(self, place: Place) -> None:
        """One process after the other, until the end."""
        pause = FIRST_PAUSE
        while not self._ending.is_set() or place.next is not None:
            if not place.wanted.is_set() and place.next is None:
                await self._until_wanted(place)
                continue
            async with place.starting:
                child, place.next = place.next, None
                place.child = child = child or await self._try_start()
            if child is None:
                pause = await self._longer(pause)
                continue
            code = await child.process.wait()
            place.child = None
            self._children.discard(child)
            child.close()
            lived = time.monotonic() - child.started
            if self._ending.is_set() or child.leaving:
                continue
            if code == DRAINED:
                log.info("worker process %d was drained; its place stays empty until SIGHUP or a restart", child.pid)
                place.wanted.clear()
                continue
            if code == CANNOT_START and not any(other.ready.is_set() for other in self._children):
                self._code = code
                self._ending.set()
                continue
            log.warning("worker process %d ended with code %s after %.1f s; it is replaced", child.pid, code, lived)
            pause = FIRST_PAUSE if lived >= GOOD_LIFE_SECONDS else await self._longer(pause)

    async def _try_start(self) -> Child | None:
        """None if the system gives no process, memory, descriptor, or thread that waits for the process."""
        try:
            return await self._start()
        except (OSError, RuntimeError) as error:
            log.error("a worker process cannot be started: %s", error)
            return None

    async def _start(self) -> Child:
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                env={**os.environ, GUARD: f"{os.getpid()}:{writing}"},
                pass_fds=(writing,),
                stdin=asyncio.subprocess.DEVNULL,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        child = Child(process, GuardEnd(reading), on_ready=self._announce)
        self._children.add(child)
        if self._ending.is_set():
            self._dismiss(child)
        return child

    def _dismiss(self, child: Child) -> None:
        """Let it drain; kill it when it does not end."""
        child.leaving = True
        child.send(signal.SIGTERM)
        asyncio.get_running_loop().call_later(self._drain + DRAIN_MARGIN, child.send, signal.SIGKILL)

    async def _renew(self, place: Place) -> bool:
        """Replace this place's process without a gap. Returns False if a new one cannot start; the old one goes on."""
        old = place.child
        if old is None:
            return False
        async with place.starting:
            if old.leaving or place.next is not None or place.child is not old:
                return True
            if (new := await self._try_start()) is None:
                log.error("worker process %d goes on", old.pid)
                return False
            place.next = new
        waits = [asyncio.create_task(new.ready.wait()), asyncio.create_task(new.process.wait())]
        done, left = await asyncio.wait(waits, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for wait in left:
            wait.cancel()
        if new.process.returncode == CANNOT_START and place.next is new:
            place.next = None
            self._children.discard(new)
            new.close()
            log.error("worker process %d cannot start; the one before it, %d, goes on", new.pid, old.pid)
            return False
        if not done:
            log.warning("worker process %d is not ready yet; the one before it ends all the same", new.pid)
        self._dismiss(old)
        return True

    async def _renew_whole(self, place: Place, old: Child) -> None:
        """`_renew`, until the old process has ended: only then is its memory free."""
        if await self._renew(place):
            await old.process.wait()

    # Beside -------------------------------------------------------------------------------------------------

    def _announce(self) -> None:
        """Touch the ready file once every place has a process that takes tasks."""
        if self._ready_file is not None and all(p.child is not None and p.child.ready.is_set() for p in self._places):
            self._ready_file.touch()

    async def _restart_forever(self) -> None:
        while await self._restart_wanted.wait():
            self._restart_wanted.clear()
            log.info("rolling restart of %d worker processes", len(self._places))
            for place in self._places:
                place.wanted.set()
                old = place.child
                if old is not None:
                    await self._renew_whole(place, old)

    async def _watch_memory(self) -> None:
        try:
            while self._memory:
                await asyncio.sleep(MEMORY_SECONDS)
                self._look_at_memory()
        finally:
            if self._renewal is not None:
                self._renewal.cancel()

    def _look_at_memory(self) -> None:
        """Replace one process at a time: a second one beside each of them would take as much memory again."""
        for place in self._places:
            child = place.child
            if child is None or (used := child.memory()) <= self._memory:
                continue
            is_too_much = used > self._memory * MEMORY_HARD
            if not is_too_much and self._renewal is not None and not self._renewal.done():
                continue
            log.warning("worker process %d uses %d MB of %d", child.pid, used >> 20, self._memory >> 20)
            if is_too_much:
                child.send(signal.SIGKILL)
            else:  # beside: the others are watched meanwhile, and this one too
                self._renewal = asyncio.create_task(self._renew_whole(place, child))

    async def _until_wanted(self, place: Place) -> None:
        """Or until the end."""
        waits = [asyncio.create_task(event.wait()) for event in (place.wanted, self._ending)]
        _, left = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in left:
            wait.cancel()

    async def _longer(self, pause: float) -> float:
        """Pause so many seconds, unless it is the end; how long the next pause is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._ending.wait()
        return min(pause * 2, LONGEST_PAUSE)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers.supervisor")
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--drain", type=float, required=True)
    parser.add_argument("--memory", type=int, default=0)
    parser.add_argument("--ready-file", type=Path, default=None)
    parser.add_argument("--log-level", default="INFO")
    parser.add_argument("--log-format", default="json")
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def main() -> None:
    """Run until SIGTERM or SIGINT; the command follows `--`."""
    arguments = _arguments()
    set_up_logs(arguments.log_level, arguments.log_format)
    supervisor = Supervisor(
        arguments.command,
        processes=arguments.processes,
        drain=arguments.drain,
        memory=arguments.memory,
        ready_file=arguments.ready_file,
    )
    sys.exit(asyncio.run(supervisor.run()))


if __name__ == "__main__":
    main()
