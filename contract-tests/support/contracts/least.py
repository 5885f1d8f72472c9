"""A time that a promise bounds, on a machine that may be busy with something else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


async def least(measure: Callable[[], Awaitable[float]], enough: float, tries: int = 3) -> float:
    """The smallest of up to `tries` measurements; the first one that is below `enough` is the last.

    Other work on the machine makes a time longer, never shorter.
    """
    times: list[float] = []
    while len(times) < tries and (not times or min(times) >= enough):
        times.append(await measure())
    return min(times)
