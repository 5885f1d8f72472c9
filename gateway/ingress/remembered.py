"""Payloads in Redis's lists that were seen before: since when, and what could only be read here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from backends.redis_queue.ingress import Sighting

#: Legacy recovery copies what waits for a minute (contract §5, rule 2).
COPIED_SECONDS = 45.0
#: Payloads that are remembered between looks.
MOST = 100_000


@dataclass(slots=True)
class _Known:
    """A payload that was seen before."""

    since: float
    sighting: Sighting
    """With the fields that could only be read here."""
    is_old: bool = False
    """It may have waited for long before it was seen."""


class Remembered:
    """What the bridge of this process has seen. Times are of `time.monotonic`."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, str], _Known] = {}
        self._are_ages_known = False
        """Whether what is seen for the first time is new: everything was seen before, and nothing forgotten since."""

    def recall(self, sighting: Sighting, now: float) -> Sighting:
        """The sighting with all that is known of it; remembered from now on."""
        key = _key(sighting)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MOST:
                self._known.pop(next(iter(self._known)))
                self._are_ages_known = False
            known = self._known[key] = _Known(now, sighting, is_old=not self._are_ages_known)
        return known.sighting

    def keep(self, sightings: Collection[Sighting]) -> None:
        """Forget all others: these are all that there is."""
        seen = {_key(sighting) for sighting in sightings}
        self._known = {key: known for key, known in self._known.items() if key in seen}
        self._are_ages_known = len(self._known) == len(seen)

    def is_seen_since(self, sighting: Sighting, moment: float) -> bool:
        """Whether it was seen for the first time after this moment."""
        known = self._known.get(_key(sighting))
        return known is not None and known.since > moment

    def may_be_copied(self, sighting: Sighting, now: float) -> bool:
        """Whether legacy recovery may have copied it, as far as anybody knows."""
        known = self._known.get(_key(sighting))
        return known is None or known.is_old or now - known.since > COPIED_SECONDS

    def correct(self, sighting: Sighting, read: Sighting, now: float, *, since: float) -> None:
        """What is in it was read here: `read`. It counts as seen `since` then, or since before."""
        known = self._known.get(_key(sighting))
        seen = since if known is None else min(since, known.since)
        self._known[_key(sighting)] = _Known(seen, read, self.may_be_copied(sighting, now))

    def forget(self, sighting: Sighting) -> None:
        """It is no longer there."""
        self._known.pop(_key(sighting), None)


def _key(sighting: Sighting) -> tuple[bytes, str]:
    return sighting.group, sighting.digest
