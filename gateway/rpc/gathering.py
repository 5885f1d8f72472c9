"""Lets calls that come at about the same time go on at the same time.

Statements that are asked for in the same moment travel together (`gateway.access.questions`, `gateway.acceptance`).
Over HTTP, requests arrive in such moments by themselves; grpc hands calls over one by one, some 0.2 ms apart, so that
each would pay for statements of its own: twice the time of the event loop.
"""

from __future__ import annotations

import asyncio

#: While no more calls than this are under way, none is held.
FREE = 4
#: The longest that a call is held (seconds).
PAUSE = 0.005


class Gathering:
    """`async with` it for the duration of a call.

    Under load a call is held until as many have come as were under way when the last ones went on, for `pause` at most.
    """

    def __init__(self, *, free: int = FREE, pause: float = PAUSE) -> None:
        self._free = free
        self._pause = pause
        self._under_way = 0
        """Calls that have come and not ended, held ones included."""
        self._expected = 1
        self._held: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        self._under_way += 1
        if len(self._held) + 1 >= self._expected:
            self._go_on()
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._held.append(turn)
        if self._timer is None:
            self._timer = loop.call_later(self._pause, self._go_on)
        try:
            await turn
        except asyncio.CancelledError:
            self._under_way -= 1
            raise

    async def __aexit__(self, *_: object) -> None:
        self._under_way -= 1

    def _go_on(self) -> None:
        held, self._held = self._held, []
        self._expected = self._under_way if self._under_way > self._free else 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for turn in held:
            if not turn.done():
                turn.set_result(None)
