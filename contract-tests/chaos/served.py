"""The time in which some gateway answers: who waits while there is none loses no patience.

A fault that kills all gateways lets no request be carried out until they are back, which takes a busy machine minutes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import httpx

LOOK_SECONDS = 0.5
#: A gateway that does not say in time (seconds) that it is there counts as away.
ANSWER_SECONDS = 2.0
#: However that was: longer nobody waits (seconds).
LONGEST = 900.0


class ServedTime:
    """`seconds` grows while a gateway answers, as long as `measure_forever` runs."""

    def __init__(self, answers: Callable[[], Awaitable[bool]], clock: Callable[[], float] = time.monotonic) -> None:
        self._answers = answers
        self._clock = clock
        self.seconds = 0.0

    async def measure_forever(self) -> None:
        looked = self._clock()
        while True:
            is_served = await self._answers()
            now = self._clock()
            if is_served:
                self.seconds += now - looked
            looked = now
            await asyncio.sleep(LOOK_SECONDS)

    def patience(self, seconds: float) -> Callable[[], bool]:
        """Says whether so many seconds, of those in which a gateway answered, have passed from now on."""
        served, began = self.seconds, self._clock()
        return lambda: self.seconds > served + seconds or self._clock() > began + LONGEST


async def some_gateway_answers(urls: Sequence[str]) -> bool:
    async def is_there(http: httpx.AsyncClient, url: str) -> bool:
        try:
            return (await http.get(f"{url}/health")).is_success
        except httpx.TransportError:
            return False

    async with httpx.AsyncClient(timeout=ANSWER_SECONDS) as http:
        return any(await asyncio.gather(*(is_there(http, url) for url in urls)))
