"""Parities that somebody watches."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Final

from gateway.access.placement import Caller
from gateway.migration.parity.parity import Parity, Report
from gateway.migration.report_watch import ReportSubscription, ReportWatch

#: For so long a report serves whoever watches that tenant (seconds): each reads up to a day of slices twice.
SHARED_SECONDS: Final = 2.0


class ParityWatch(ReportWatch[Report]):
    """Of each tenant that is watched one report in `SHARED_SECONDS` is made, however many watch it."""

    def __init__(self, parity: Parity) -> None:
        super().__init__(_is_same)
        self._parity = parity
        self._making: dict[str, tuple[float, asyncio.Task[Report]]] = {}

    async def subscribe(self, caller: Caller, tenant_id: str) -> ReportSubscription[Report]:
        """To the parity of a tenant since its last move. Raises `TenantNotFound`, also for a foreign one."""
        await self._parity.check(caller, tenant_id)
        return self.watch(partial(self._look, tenant_id))

    async def _look(self, tenant_id: str) -> Report:
        now = asyncio.get_running_loop().time()
        self._making = {name: one for name, one in self._making.items() if one[0] > now - SHARED_SECONDS}
        if tenant_id not in self._making:
            self._making[tenant_id] = now, asyncio.create_task(self._parity.since_last_move(tenant_id))
        # Shielded: whoever goes away must not take the report from the others.
        return await asyncio.shield(self._making[tenant_id][1])


def _is_same(shown: Report, report: Report) -> bool:
    return report == replace(shown, at=report.at, behind_seconds=report.behind_seconds)
