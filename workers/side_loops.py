"""Loops beside the work of a worker, for which nobody waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

log = logging.getLogger(__name__)

#: After a step that failed (seconds).
PAUSE = 1.0


async def forever(what: str, step: Callable[[], Awaitable[object]], *, pause: float = PAUSE) -> NoReturn:
    """Repeat a step until cancelled.

    A step that fails is logged and taken again after `pause` seconds: a worker without one of its loops looks healthy
    and is not.
    """
    while True:
        try:
            await step()
        except Exception:
            log.exception("%s: failed, is tried again", what)
            await asyncio.sleep(pause)
