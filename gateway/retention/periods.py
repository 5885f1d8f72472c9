"""How long something is kept, per tenant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DAY = 86_400.0
#: Days: where only some tenants' rows are to be deleted, those of all others are not.
FOR_GOOD = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Period:
    """Days that something is kept after its end; `tenants` have their own."""

    days: float
    tenants: Mapping[str, float] = field(default_factory=dict)

    @property
    def shortest(self) -> float:
        """Seconds; what is younger need not be looked at."""
        return min([self.days, *self.tenants.values()]) * DAY

    @property
    def arguments(self) -> tuple[float, list[str], list[float]]:
        """Of statements: seconds of everybody, tenants, seconds of each of those."""
        return self.days * DAY, list(self.tenants), [days * DAY for days in self.tenants.values()]


@dataclass(frozen=True, slots=True)
class Periods:
    """`task_logs` None: its rows stay for good. Idempotency keys: hours."""

    tasks: Period
    task_logs: Period | None
    firings: Period
    operations: float
    idempotency_hours: float
