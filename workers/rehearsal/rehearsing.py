"""Calls a handler's `rehearse`, in a thread with an event loop of its own: whatever it does, tasks run on."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from workers.execution.inline import ThreadContext
from workers.execution.isolated import (
    HandlerFailed,
    HandlerMemoryExceeded,
    HandlerNotStarted,
    HandlerProcessDied,
    IsolatedExecution,
)
from workers.failure import text_of
from workers.handlers.base import TaskHandler
from workers.rehearsal.context import RehearsalContext

log = logging.getLogger(__name__)

#: How long `rehearse` may take (seconds); and how much longer a thread may need to say so.
REHEARSE_SECONDS: Final = 5.0
MARGIN_SECONDS: Final = 0.5
#: How long a process for a handler may take to start.
START_SECONDS: Final = 10.0
_LONGEST_DETAIL = 300


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What became of it: an outcome of a probe, and seconds."""

    outcome: str
    detail: str = ""
    seconds: float | None = None


class Rehearsing:
    """`isolated` has the processes of handlers that must have one of their own; None: this is such a process."""

    def __init__(
        self,
        isolated: IsolatedExecution | None = None,
        *,
        limit: float = REHEARSE_SECONDS,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self._isolated = isolated
        self._limit = limit
        self._start_seconds = start_seconds
        self._stuck: dict[asyncio.Future[BaseException | None], str] = {}
        """Of each `rehearse` that did not return in time, and has not since: the type."""

    async def run(self, handler: TaskHandler, payload: dict[str, Any], context: RehearsalContext) -> Rehearsed:
        """Never raises, but `CancelledError`."""
        rehearse = getattr(handler, "rehearse", None)
        if not callable(rehearse):
            return Rehearsed("no_rehearse")
        if self._isolated is not None and self._isolated.wants(handler):
            return await self._apart(self._isolated, handler, payload)
        if handler.task_type in self._stuck.values():
            return Rehearsed("blocked", "an earlier rehearse() of this worker has not returned")
        loop, began = asyncio.get_running_loop(), time.monotonic()
        ended: asyncio.Future[BaseException | None] = loop.create_future()

        def work() -> None:
            error: BaseException | None = None
            try:
                self._call(rehearse, payload, ThreadContext(context, loop))
            except BaseException as raised:  # noqa: BLE001 - whatever it raises belongs to the rehearsal
                error = raised
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._end, ended, error)

        threading.Thread(target=work, name=f"rehearse {handler.task_type}", daemon=True).start()
        done, _ = await asyncio.wait({ended}, timeout=self._limit + MARGIN_SECONDS)
        seconds = time.monotonic() - began
        if not done:
            self._stuck[ended] = handler.task_type
        if context.refused:
            return Rehearsed("wrote", f"it tried {context.refused[0]}", seconds)
        error = ended.result() if done else _Blocked()
        if isinstance(error, _Blocked):
            return self._blocked(seconds)
        if error is not None:
            return Rehearsed("raised", f"{type(error).__name__}: {text_of(error)}"[:_LONGEST_DETAIL], seconds)
        return Rehearsed("rehearsed", "", seconds)

    async def _apart(self, isolated: IsolatedExecution, handler: TaskHandler, payload: dict[str, Any]) -> Rehearsed:
        """In a process that is ended if it does not answer; what it may take to start one comes on top."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._start_seconds + self._limit + 2 * MARGIN_SECONDS):
                found = await isolated.rehearse(
                    handler.task_type, payload, self._limit, start_seconds=self._start_seconds
                )
                return Rehearsed(**found)
        except TimeoutError:
            return self._blocked(time.monotonic() - began)
        except (HandlerNotStarted, HandlerFailed) as error:
            log.warning("rehearse() of %s could not be called: %s", handler.task_type, error)
            return Rehearsed("worker_failed", str(error)[:_LONGEST_DETAIL])
        except (HandlerProcessDied, HandlerMemoryExceeded) as error:
            return Rehearsed("raised", str(error)[:_LONGEST_DETAIL], time.monotonic() - began)

    def _blocked(self, seconds: float) -> Rehearsed:
        return Rehearsed("blocked", f"rehearse() did not return within {self._limit:g} s", seconds)

    def _call(self, rehearse: Callable[..., Any], payload: dict[str, Any], context: ThreadContext) -> None:
        returned = rehearse(payload, context)
        if inspect.isawaitable(returned):
            asyncio.run(self._within_limit(returned))

    async def _within_limit(self, returned: Any) -> None:
        try:
            async with asyncio.timeout(self._limit) as limit:
                await returned
        except TimeoutError:
            if limit.expired():
                raise _Blocked from None
            raise

    def _end(self, ended: asyncio.Future[BaseException | None], error: BaseException | None) -> None:
        self._stuck.pop(ended, None)
        if not ended.done():
            ended.set_result(error)


class _Blocked(Exception):
    """It did not return in time."""
