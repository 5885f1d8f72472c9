"""How fairly the tenants of a pool were served while they waited for its slots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

#: Tenants that were due fewer starts are left out: one start more or less would double their share.
ENOUGH = 5.0


class Shares:
    """Counts the starts each tenant got, and those it was due: a start is divided equally among all that wait."""

    def __init__(self) -> None:
        self._waiting: dict[str, int] = {}
        self._parts = 0.0
        """What a tenant that always waited was due so far."""
        self._since: dict[str, float] = {}
        self._due: dict[str, float] = defaultdict(float)
        self._got: dict[str, int] = defaultdict(int)

    def wait(self, tenant: str) -> None:
        """One of its tasks begins to wait."""
        waiting = self._waiting.get(tenant, 0)
        if not waiting:
            self._since[tenant] = self._parts
        self._waiting[tenant] = waiting + 1

    def serve(self, tenant: str) -> None:
        """One of its waiting tasks starts."""
        self._parts += 1 / len(self._waiting)
        self._got[tenant] += 1
        self._waiting[tenant] -= 1
        if not self._waiting[tenant]:
            del self._waiting[tenant]
            self._due[tenant] += self._parts - self._since.pop(tenant)

    def ratios(self) -> Iterator[float]:
        """Got ÷ due of each tenant that was due enough; to be called when nothing waits any more."""
        return (got / self._due[tenant] for tenant, got in self._got.items() if self._due[tenant] >= ENOUGH)


def jain(values: Iterable[float]) -> float:
    """Jain's fairness index: 1 when all are equal, 1/n when one has everything."""
    found = list(values)
    squares = sum(value * value for value in found)
    return sum(found) ** 2 / (len(found) * squares) if squares else 1.0
