"""Writes that must survive an outage of PostgreSQL, or a time in which it takes none."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.errors import DatabaseUnavailable
from gateway.observability.error_text import message_of
from gateway.storage.driver_errors import DRIVER_ERRORS

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
#: Longest pause while PostgreSQL answers, and refuses: most likely a person has to mend something (seconds).
REFUSED_PAUSE = 5.0
#: How often it is said that a report is still refused (seconds).
SAY_SECONDS = 60.0


async def until_stored(step: Callable[[], Awaitable[T]]) -> T:
    """Repeat a step until PostgreSQL is available; pauses in seconds, doubled each time."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await step()
        except DatabaseUnavailable:
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)


async def until_taken(task_id: str, step: Callable[[], Awaitable[T]], *, unless: tuple[type[Exception], ...] = ()) -> T:
    """Repeat a report on a task also while PostgreSQL refuses it: say for want of a right, or by a constraint.

    What a run has done must not be done again because of that. Raises, of PostgreSQL's errors, only `unless`.
    """
    pause, say_at = FIRST_PAUSE, time.monotonic()
    while True:
        try:
            return await until_stored(step)
        except unless:
            raise
        except DRIVER_ERRORS as error:
            if (now := time.monotonic()) >= say_at:
                said = f"{type(error).__name__}: {message_of(error)}"
                log.error("PostgreSQL refuses a report on task %s, which is kept and repeated: %s", task_id, said)
                say_at = now + SAY_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 2, REFUSED_PAUSE)
