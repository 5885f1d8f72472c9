"""Copies that were pushed after a look at the lists, and before their task is taken."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

from backends.redis_queue.ingress import Ingress, Sighting

#: A group is looked at again after so many seconds: Redis reads some hundred payloads for it.
PAUSE_SECONDS = 0.1


class LateCopies:
    """Of one look, which saw these payloads.

    To take them all may last minutes, and legacy recovery copies meanwhile what waits for one (contract §5, rule 2): to
    the end of the list from which legacy workers take.
    """

    def __init__(self, ingress: Ingress, seen: Iterable[Sighting]) -> None:
        self._ingress = ingress
        self._seen = {(sighting.group, sighting.digest) for sighting in seen}
        self._looked_at: dict[bytes, float] = {}
        self._found: dict[str, list[Sighting]] = {}

    async def of(self, task_id: str, groups: Iterable[bytes]) -> list[Sighting]:
        """Those of a task in these groups, oldest first; each is answered once. Raises as `Ingress` does."""
        for group in groups:
            if time.monotonic() - self._looked_at.get(group, -math.inf) >= PAUSE_SECONDS:
                await self._look_at(group)
        return self._found.pop(task_id, [])

    async def _look_at(self, group: bytes) -> None:
        for sighting in await self._ingress.look_since(group, self._seen):
            self._seen.add((group, sighting.digest))
            if sighting.task_id is not None:
                self._found.setdefault(sighting.task_id, []).append(sighting)
        self._looked_at[group] = time.monotonic()
