"""Valid payloads that PostgreSQL could not store at the time, and when each is tried again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

#: Seconds to the next try: at first, doubled with each that fails, at most.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 10.0


@dataclass(frozen=True, slots=True)
class _Pause:
    group: bytes
    seconds: float
    until: float


class Postponed:
    """Each payload is tried again after a growing pause. Meanwhile it holds up its own group, which keeps its order.

    Only the pauses are kept here; the payloads themselves are in Redis.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._pauses: dict[str, _Pause] = {}

    @property
    def groups(self) -> set[bytes]:
        """The groups that have a payload here."""
        return {pause.group for pause in self._pauses.values()}

    def is_due(self, entry_id: str) -> bool:
        pause = self._pauses.get(entry_id)
        return pause is None or self._now() >= pause.until

    def postpone(self, entry_id: str, group: bytes) -> None:
        before = self._pauses.get(entry_id)
        seconds = FIRST_PAUSE if before is None else min(before.seconds * 2, LONGEST_PAUSE)
        self._pauses[entry_id] = _Pause(group, seconds, self._now() + seconds)

    def keep(self, entry_ids: Iterable[str]) -> None:
        """Forget all others: they are settled."""
        kept = set(entry_ids)
        self._pauses = {entry_id: pause for entry_id, pause in self._pauses.items() if entry_id in kept}
