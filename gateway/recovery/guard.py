"""The guard line: a worker process tells its supervisor until when it may run (ADR 8).

A process that hangs past the end of its lease must not wake up while another one runs its tasks. It cannot ensure that
itself, so its supervisor kills it at the deadline; SIGKILL also ends a stopped process. Only the standard library is
used, to keep the supervisor small.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import signal
import time

#: In the environment of a supervised process: `<pid of the supervisor>:<file descriptor of the line>`.
GUARD = "TASKGATE_GUARD"

_PR_SET_PDEATHSIG = 1
_READY = "ready"


def clock() -> float:
    """Seconds of a clock that all processes of a host share, and that also runs while the host sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class GuardLine:
    """The worker's end; for any thread. If the supervisor is too busy to read, messages are dropped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        os.set_inheritable(descriptor, False)

    def extend(self, deadline: float) -> None:
        """Have this process killed at this time of `clock`, unless another message comes before; infinity: never."""
        self._say(repr(deadline))

    def ready(self) -> None:
        """This process takes tasks."""
        self._say(_READY)

    def _say(self, word: str) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._descriptor, f"{word}\n".encode())


class GuardEnd:
    """The supervisor's end: the last message of a process."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.deadline = math.inf
        self.is_ready = False
        self._rest = b""
        os.set_blocking(descriptor, False)

    def read(self) -> bool:
        """Read new messages. Returns False if the process has closed its end."""
        try:
            data = os.read(self.descriptor, 65536)
        except BlockingIOError:
            return True
        *words, self._rest = (self._rest + data).split(b"\n")
        for word in words:
            if word.decode() == _READY:
                self.is_ready = True
            else:
                self.deadline = float(word)
        return bool(data)

    def close(self) -> None:
        os.close(self.descriptor)


def die_with(parent: int) -> None:
    """From now on, this process is killed when its parent ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it died before the request took effect


def join_supervisor() -> GuardLine | None:
    """The line to this process's supervisor; None without a supervisor."""
    parent, _, descriptor = os.environ.pop(GUARD, "").partition(":")
    if not descriptor:
        return None
    die_with(int(parent))
    return GuardLine(int(descriptor))
