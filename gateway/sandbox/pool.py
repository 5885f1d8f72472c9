"""A pool of child processes for pure functions on input of tenants, with bounded time and memory.

Threads are not enough: a regular expression or a parser in C keeps the interpreter's lock.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from typing import Any, ParamSpec, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from gateway.recovery.guard import die_with

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: Limit of a function by the clock, as a multiple of its limit of processor time.
WAIT = 5
#: Children that a call may lose to others, such as to the system when memory is short.
_TRIES = 2
#: Exit codes of children that were ended from outside; the second when the server that forks them died.
_KILLED = (-signal.SIGKILL, 255)
#: After these there is no child any more.
_ENDS = (BrokenProcessPool, ProcessExpired, TimeoutError)
#: Seconds between looks whether the child that is waited for lives.
_LOOK = 0.5
_MEGABYTE = 1024 * 1024


class SandboxExceeded(Exception):
    """The function needed more time or memory than it may have; the message says which."""


class SandboxLost(SandboxExceeded):
    """The function's process was lost, again and again, for another reason; later the function may be carried out."""

    TOLD = "The process that looks at requests was lost; try again."
    """To whoever sent the request."""


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
    """Runs functions in `processes` children, each with `megabytes` of memory; one is started when a call needs it.

    A child that exceeds a limit, or whose call is cut, is killed. `preload` names the modules that children have from
    the start. Each child is a pool of its own: what waits for one is not lost with another.
    """

    def __init__(self, *, processes: int = 2, megabytes: int, preload: tuple[str, ...] = ()) -> None:
        self._turns = asyncio.Semaphore(processes)
        self._megabytes = megabytes
        self._preload = preload
        self._idle: list[ProcessPool] = []
        self._alive: set[ProcessPool] = set()
        self._closed = False

    async def run(self, seconds: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns or raises; both must be picklable. Raises `SandboxExceeded`, `SandboxLost`.

        `seconds` limits the processor time; the limit by the clock is `WAIT` times that, for busy machines. A function
        whose child is killed from outside is called once more.
        """
        async with self._turns:
            for _ in range(_TRIES):
                try:
                    result: T = await self._call(seconds, function, args, kwargs)
                except TimeoutError:
                    raise SandboxExceeded(f"it takes longer than {WAIT * seconds:g} s") from None
                except BrokenProcessPool:
                    continue
                except ProcessExpired as error:
                    if error.exitcode in _KILLED:
                        continue
                    if error.exitcode == -signal.SIGPROF:
                        raise SandboxExceeded(f"it takes longer than {seconds:g} s") from None
                    raise SandboxExceeded(f"it needs more than {self._megabytes} MB of memory") from None
                except MemoryError:
                    raise SandboxExceeded(f"it needs more than {self._megabytes} MB of memory") from None
                return result
        log.error("a child process was lost %d times in a row", _TRIES)
        raise SandboxLost("its process was lost again and again")

    async def _call(self, seconds: float, *work: Any) -> Any:
        """The same in one child. Raises `BrokenProcessPool` when that was lost before it began."""
        child = await self._child()
        answered = False
        try:
            call = asyncio.wrap_future(_begun(child, seconds, work))
            call.add_done_callback(_seen)
            last = time.monotonic() + 2 * WAIT * seconds
            while not (await asyncio.wait({call}, timeout=_LOOK))[0]:
                if not child.active:
                    raise asyncio.CancelledError if self._closed else BrokenProcessPool
                if time.monotonic() > last:  # it was lost in a way that pebble does not see
                    raise BrokenProcessPool
            answered = not isinstance(call.exception(), _ENDS)
            return call.result()
        finally:
            if answered:
                self._idle.append(child)
            else:
                await self._end(child)

    async def _child(self) -> ProcessPool:
        while self._idle:
            child = self._idle.pop()
            if child.active:
                return child
            await self._end(child)
        if self._closed:
            raise asyncio.CancelledError
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, *self._preload])
        limit = self._megabytes * _MEGABYTE
        child = ProcessPool(1, initializer=_confine, initargs=(limit,), context=context)
        self._alive.add(child)
        try:
            await asyncio.to_thread(getattr, child, "active")  # starts it, and waits for the modules
        except BaseException:
            await self._end(child)
            raise
        return child

    async def _end(self, child: ProcessPool) -> None:
        if child in self._alive:
            self._alive.remove(child)
            # Both may wait for a child that is being started.
            await asyncio.shield(asyncio.to_thread(_stop, child))

    async def close(self) -> None:
        """Kill the children; calls under way, and later ones, end with `CancelledError`."""
        self._closed = True
        await asyncio.gather(*map(self._end, tuple(self._alive)))


def _stop(child: ProcessPool) -> None:
    child.stop()  # type: ignore[no-untyped-call]
    child.join()


def _begun(child: ProcessPool, seconds: float, work: tuple[Any, ...]) -> ProcessFuture[Any]:
    try:
        return child.schedule(_timed, args=(seconds, *work), timeout=WAIT * seconds)
    except RuntimeError as error:  # it was lost just now
        raise BrokenProcessPool from error


def _seen(call: asyncio.Future[Any]) -> None:
    """Of a call that was given up nobody wants to hear."""
    if not call.cancelled():
        call.exception()


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
