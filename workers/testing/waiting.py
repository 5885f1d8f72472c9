"""Waiting in tests: for a value, a condition, or the news of a listener. What does not come raises `TimeoutError`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

#: Long enough for a busy machine (seconds). A promise about time is a figure of the test that makes it.
PATIENCE = 20.0
#: Between two looks at what tells nobody of its changes (seconds).
PAUSE = 0.02
#: The same for Temporal's visibility, which a namespace may ask ten times a second.
VISIBILITY_PAUSE = 0.5


async def eventually(
    look: Callable[[], Awaitable[T]],
    holds: Callable[[T], object] = bool,
    *,
    within: float = PATIENCE,
    pause: float = PAUSE,
) -> T:
    """Call `look` until `holds` accepts its value; returns that value."""
    nothing = object()
    seen: object = nothing
    try:
        async with asyncio.timeout(within):
            while True:
                seen = value = await look()
                if holds(value):
                    return value
                await asyncio.sleep(pause)
    except TimeoutError as late:
        last = "nothing" if seen is nothing else repr(seen)
        raise TimeoutError(f"not within {within:g} s; the last that was seen: {last}") from late


async def until(holds: Callable[[], object], *, within: float = PATIENCE, pause: float = PAUSE) -> None:
    """Return once it holds; for what is known without waiting."""
    async with asyncio.timeout(within):
        while not holds():
            await asyncio.sleep(pause)


async def works(
    call: Callable[[], Awaitable[T]],
    failure: type[Exception] | tuple[type[Exception], ...],
    *,
    within: float = PATIENCE,
    pause: float = PAUSE,
) -> T:
    """Call until it does not raise `failure`; returns its value."""
    last: Exception | None = None
    try:
        async with asyncio.timeout(within):
            while True:
                try:
                    return await call()
                except failure as error:
                    last = error
                await asyncio.sleep(pause)
    except TimeoutError as late:
        raise TimeoutError(f"not within {within:g} s; the last failure: {last!r}") from late


class News:
    """Of a listener, from any thread: `tell` is what it calls. Looks again only when there is news."""

    def __init__(self) -> None:
        self._told = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def tell(self, *_what: object) -> None:
        """Something may have changed."""
        self._loop.call_soon_threadsafe(self._told.set)

    async def until(self, holds: Callable[[], object], *, within: float = PATIENCE) -> None:
        """Return once it holds."""
        async with asyncio.timeout(within):
            while not holds():
                await self._told.wait()
                self._told.clear()
