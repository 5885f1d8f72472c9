"""`walk`: reads lists page by page, a script each, so that Redis serves others between (see `common.lua`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from backends.redis_queue.link import Argument, Link
from backends.redis_queue.scripts import Script

_LISTS = 200
"""Lists that one script is told of."""


@dataclass(frozen=True, slots=True)
class Page:
    """The answer of one script.

    `length`: of the list in which it stopped, 0 when all lists were read. `done`: how many lists it finished.
    """

    found: Any
    length: int
    done: int


async def walk(
    link: Link, script: Script, arguments: Sequence[Argument], lists: Sequence[Argument]
) -> AsyncGenerator[Page]:
    """The pages of these lists, from the right end of each. Raises as `Link.run` does."""
    first = seen = length = 0
    while first < len(lists):
        done, seen, length, *found = await link.run(script, seen, length, *arguments, *lists[first : first + _LISTS])
        first += done
        yield Page(found[0] if found else None, length, done)
