"""A pool of child processes for pure functions on input of tenants, with bounded time and memory.

Threads are not enough: a regular expression or a parser in C keeps the interpreter's lock.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from pebble import ProcessExpired, ProcessPool

from gateway.recovery.guard import die_with

P = ParamSpec("P")
T = TypeVar("T")

#: Limit of a function by the clock, as a multiple of its limit of processor time.
WAIT = 5
_MEGABYTE = 1024 * 1024


class SandboxExceeded(Exception):
    """The function needed more time or memory than it may have; the message says which."""


class Piecewise:
    """Bytes for a child, in which they are `bytes`. They cross in pieces, and others have their turns in between: one
    copy of many megabytes would keep the interpreter's lock all the time."""

    PIECE = _MEGABYTE

    def __init__(self, whole: bytes) -> None:
        self._whole = memoryview(whole)

    def __reduce__(self) -> tuple[Any, ...]:
        starts = range(0, len(self._whole), self.PIECE)
        return _joined, ([_Piece(self._whole[start : start + self.PIECE]) for start in starts],)


class _Piece:
    def __init__(self, part: memoryview) -> None:
        self._part = part

    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (bytes(self._part),)


def _joined(pieces: list[bytes]) -> bytes:
    return b"".join(pieces)


class Sandbox:
    """Runs functions in `processes` children, each with `megabytes` of memory; none is started before the first call.

    A child that exceeds a limit is killed and replaced. `preload` names the modules that children have from the start.
    """

    def __init__(self, *, processes: int = 2, megabytes: int, preload: tuple[str, ...] = ()) -> None:
        self._processes = processes
        self._megabytes = megabytes
        self._preload = preload
        self._pool: ProcessPool | None = None

    async def run(self, seconds: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns or raises; both must be picklable. Raises `SandboxExceeded`.

        `seconds` limits the processor time; the limit by the clock is `WAIT` times that, for busy machines.
        """
        future = self._started().schedule(_timed, args=(seconds, function, args, kwargs), timeout=WAIT * seconds)
        try:
            result: T = await asyncio.wrap_future(future)
        except TimeoutError:
            raise SandboxExceeded(f"it takes longer than {WAIT * seconds:g} s") from None
        except ProcessExpired as error:
            if error.exitcode == -signal.SIGPROF:
                raise SandboxExceeded(f"it takes longer than {seconds:g} s") from None
            raise SandboxExceeded(f"it needs more than {self._megabytes} MB of memory") from None
        except MemoryError:
            raise SandboxExceeded(f"it needs more than {self._megabytes} MB of memory") from None
        return result

    def _started(self) -> ProcessPool:
        if self._pool is None:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([__name__, *self._preload])
            limit = self._megabytes * _MEGABYTE
            self._pool = ProcessPool(self._processes, initializer=_confine, initargs=(limit,), context=context)
        return self._pool

    async def close(self) -> None:
        """Kill the children; calls under way end with `CancelledError`."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]
            await asyncio.to_thread(pool.join)


def _timed(seconds: float, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    """In the child: the signal, which nobody handles, ends it when the processor time is used up."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return function(*args, **kwargs)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _confine(memory: int) -> None:
    """In the child: no more than so many bytes, and no longer life than its parent's."""
    die_with(os.getppid())
    used = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_DATA, (used + memory, used + memory))
