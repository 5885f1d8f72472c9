"""The guard line: a worker process tells its supervisor until when it may run (ADR 8).

Whoever stands still past the end of its lease must not wake up beside the one that took its tasks over. It cannot see
to that itself; its supervisor kills it at the deadline, and a process that is stopped dies of SIGKILL like any other.
Standard library only: the supervisor is to stay small.
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
    """Seconds on a clock that all processes of a host share, and that goes on while the host sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class GuardLine:
    """The worker's end. May be used from any thread; words that the supervisor is too busy to read are dropped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        os.set_inheritable(descriptor, False)

    def extend(self, deadline: float) -> None:
        """Be killed at this time of `clock`, unless another word comes before; infinity: never."""
        self._say(repr(deadline))

    def ready(self) -> None:
        """This process takes tasks."""
        self._say(_READY)

    def _say(self, word: str) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._descriptor, f"{word}\n".encode())


class GuardEnd:
    """The supervisor's end: what a process said last."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.deadline = math.inf
        self.is_ready = False
        self._rest = b""
        os.set_blocking(descriptor, False)

    def read(self) -> bool:
        """Take in what has come; False when the process closed its end."""
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
    """From now on, the end of the process that started this one is the end of this one too."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it died before we had asked to be told


def join_supervisor() -> GuardLine | None:
    """The line to this process's supervisor; None without a supervisor."""
    parent, _, descriptor = os.environ.pop(GUARD, "").partition(":")
    if not descriptor:
        return None
    die_with(int(parent))
    return GuardLine(int(descriptor))
