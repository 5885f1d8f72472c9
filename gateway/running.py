"""Runs one of our long-lived programs: settings, logging, event loop, end."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gateway.observability.logs import set_up_logs

if TYPE_CHECKING:
    from gateway.settings import Settings


@contextmanager
def importing() -> Iterator[None]:
    """Around the imports of a program: the garbage collector does not look at what they make, now or later.

    Modules and classes live as long as the process. To look through them again and again took a sixth of the start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def run(start: Callable[[Settings], Coroutine[Any, Any, None]]) -> None:
    """Run it until it returns."""
    import uvloop

    from gateway.settings import read_settings

    settings = read_settings()
    set_up_logs(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(start(settings))


def leave(code: object, *, at_once: bool = False) -> None:
    """End with this code. Temporal's SDK can abort an interpreter that ends in the ordinary way (sdk-python#300).

    `at_once`: asyncio waits for no task and no thread.
    """
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    number = code if isinstance(code, int) else int(code is not None)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            # Whoever reads has enough, such as `head`; Python's own end would try again, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if at_once or "temporalio" in sys.modules:
        os._exit(number)
    sys.exit(number)
