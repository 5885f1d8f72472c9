"""Drains that somebody watches."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from gateway.migration.drain.report import Drain, Report
from gateway.migration.report_watch import ReportSubscription, ReportWatch


class DrainWatch(ReportWatch[Report]):
    """Those who watch at the same time share the drain's readings."""

    def __init__(self, drain: Drain) -> None:
        super().__init__(lambda shown, report: report == replace(shown, at=report.at))
        self._drain = drain

    def subscribe(self, tenant_id: str | None) -> ReportSubscription[Report]:
        """To the drain of one tenant, or of everybody. Following it raises `TenantNotFound`."""
        return self.watch(partial(self._drain.report, tenant_id))
