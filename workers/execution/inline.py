"""Runs a handler in the worker's own process: a coroutine in its event loop, a plain function in a thread."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Callable
from typing import Any

from workers.handlers.base import TaskContext, TaskHandler

#: Exit code of a process that a handler forked and let run on into the worker's own code.
FORKED = 70


class HandlerExit(Exception):
    """A handler raised SystemExit or KeyboardInterrupt, which asyncio would let end the whole process."""


class InlineExecution:
    """`busy` holds what has not come to its end, also when nobody waits for it any more."""

    def __init__(self) -> None:
        self.busy: set[asyncio.Future[None]] = set()

    async def run(self, handler: TaskHandler, payload: dict[str, Any], context: TaskContext) -> None:
        """Raises what the handler raises; `HandlerExit` for what would end the process."""
        if not inspect.iscoroutinefunction(inspect.unwrap(handler.process)):
            await self._run_in_thread(handler, payload, context)
            return
        process = os.getpid()
        try:
            await handler.process(payload, context)
        except (SystemExit, KeyboardInterrupt) as exit_:
            raise HandlerExit(f"The handler tried to end its process: {type(exit_).__name__}") from exit_
        finally:
            if os.getpid() != process:
                # The handler forked, and this is the copy. Everything it shares with the worker is the worker's.
                os._exit(FORKED)

    async def _run_in_thread(self, handler: TaskHandler, payload: dict[str, Any], context: TaskContext) -> None:
        """A thread cannot be cancelled: when the run is, the thread goes on, and counts as busy until it ends."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        self.busy.add(ended)
        ended.add_done_callback(self.busy.discard)

        def finish(error: BaseException | None) -> None:
            if error is None:
                ended.set_result(None)
            else:
                ended.set_exception(error)
                ended.exception()  # somebody may no longer be there to ask

        def work() -> None:
            error: BaseException | None = None
            try:
                handler.process(payload, BlockingContext(context, loop))  # type: ignore[unused-coroutine]
            except (SystemExit, KeyboardInterrupt) as exit_:
                error = HandlerExit(f"The handler tried to end its process: {type(exit_).__name__}")
            except BaseException as raised:  # noqa: BLE001 - whatever it raises belongs to the run
                error = raised
            loop.call_soon_threadsafe(finish, error)

        threading.Thread(target=work, name=f"handler {handler.task_type}", daemon=True).start()
        await asyncio.shield(ended)


class BlockingContext:
    """The context of a handler that is a plain function: the same members, and those that are async wait."""

    def __init__(self, context: TaskContext, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._context, name)
        return self._waiting(member) if inspect.iscoroutinefunction(member) else member

    def _waiting(self, member: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(member(*args, **kwargs), self._loop).result()

        return call
