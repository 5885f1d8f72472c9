"""Runs a handler in the worker's own process: a coroutine in its event loop, anything else in a thread."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Callable
from typing import Any

from workers.handlers.base import TaskContext, TaskHandler

#: Exit code of a process that a handler forked and that returned into the worker's code.
FORKED = 70


class HandlerExit(Exception):
    """A handler raised an exception that would end the whole process, or that a coroutine cannot pass on."""


class BodyNeverRan(Exception):
    """The handler's `process` is a generator, so the call ran nothing."""

    non_retryable = True


class InlineExecution:
    """`busy` contains runs that have not ended, also when nobody waits for them any more."""

    def __init__(self) -> None:
        self.busy: set[asyncio.Future[Any]] = set()

    async def run(self, handler: TaskHandler, payload: dict[str, Any], context: TaskContext) -> Any:
        """The result of the handler; an awaitable is awaited.

        Raises the handler's exception, `HandlerExit` for one that would end the process, or `BodyNeverRan`.
        """
        process = os.getpid()
        try:
            if inspect.iscoroutinefunction(handler.process):
                returned: Any = handler.process(payload, context)
            else:
                returned = await self._called_in_thread(handler, payload, context)
            while inspect.isawaitable(returned):
                returned = await returned
        except (SystemExit, KeyboardInterrupt, StopIteration) as exit_:
            raise _exit_of(exit_) from exit_
        finally:
            if os.getpid() != process:
                # The handler forked, and this is the copy. It must not use what it shares with the worker.
                os._exit(FORKED)
        if inspect.isgenerator(returned) or inspect.isasyncgen(returned):
            raise BodyNeverRan(f"The handler's process() is a generator ({type(returned).__name__}); nothing was run")
        return returned

    async def _called_in_thread(self, handler: TaskHandler, payload: dict[str, Any], context: TaskContext) -> Any:
        """A thread cannot be cancelled: after a cancellation it goes on, and so does this call, as in a coroutine that
        ignores it. It counts as busy until it ends.
        """
        loop = asyncio.get_running_loop()
        # The error is part of the result: a future does not take every exception (StopIteration).
        ended: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
        process = os.getpid()

        def work() -> None:
            returned, error = None, None
            try:
                returned = handler.process(payload, ThreadContext(context, loop))
            except BaseException as raised:  # noqa: BLE001 - whatever it raises belongs to the run
                error = raised
            if os.getpid() != process:
                os._exit(FORKED)
            loop.call_soon_threadsafe(ended.set_result, (returned, error))

        threading.Thread(target=work, name=f"handler {handler.task_type}", daemon=True).start()
        self.busy.add(ended)
        ended.add_done_callback(self.busy.discard)
        returned, error, is_cancelled = await _end_of(ended)
        if is_cancelled and inspect.isawaitable(returned):
            if inspect.iscoroutine(returned):
                returned.close()
            raise asyncio.CancelledError
        if error is not None:
            raise error if not isinstance(error, StopIteration) else _exit_of(error) from error
        return returned


class ThreadContext:
    """The context of a handler that is called in a thread: the same members.

    Those that are async wait for their end, except where an event loop runs (a coroutine that the handler returned, or
    a loop of its own): there they are awaited as usual.
    """

    def __init__(self, context: TaskContext, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._context, name)
        return self._waiting(member) if inspect.iscoroutinefunction(member) else member

    def _waiting(self, member: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            running = _running_loop()
            if running is self._loop:
                return member(*args, **kwargs)
            future = asyncio.run_coroutine_threadsafe(member(*args, **kwargs), self._loop)
            return future.result() if running is None else asyncio.wrap_future(future)

        return call


async def _end_of(
    thread: asyncio.Future[tuple[Any, BaseException | None]],
) -> tuple[Any, BaseException | None, bool]:
    """What it returned or raised, and whether somebody cancelled it meanwhile."""
    is_cancelled = False
    while not thread.done():
        try:
            await asyncio.shield(thread)
        except asyncio.CancelledError:
            is_cancelled = True
    return *thread.result(), is_cancelled


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _exit_of(error: BaseException) -> HandlerExit:
    name = type(error).__name__
    if isinstance(error, StopIteration):
        return HandlerExit(f"The handler raised {name}")
    return HandlerExit(f"The handler tried to end its process: {name}")
