"""Which tenants used something lately."""

from __future__ import annotations

import time
from collections.abc import Callable


class RecentTenants:
    """Tenants that were noted within the last so many seconds. Tasks without a tenant count as one tenant, ''."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        # The longest ago first.
        self._noted_at: dict[str, float] = {}

    def note(self, tenant_id: str | None) -> bool:
        """Note a tenant. Returns whether a single tenant has become several."""
        several = self.are_several
        self._noted_at.pop(tenant_id or "", None)
        self._noted_at[tenant_id or ""] = self._clock()
        return not several and len(self._noted_at) > 1

    @property
    def names(self) -> set[str]:
        self._forget()
        return set(self._noted_at)

    @property
    def are_several(self) -> bool:
        self._forget()
        return len(self._noted_at) > 1

    def _forget(self) -> None:
        past = self._clock() - self._seconds
        while self._noted_at:
            oldest = next(iter(self._noted_at))
            if self._noted_at[oldest] > past:
                return
            del self._noted_at[oldest]
