"""Builds the deletion of what is old, by the settings."""

from __future__ import annotations

from gateway.bootstrap.dependencies import Dependencies
from gateway.retention.destinations import destination_of
from gateway.retention.periods import FOR_GOOD, Period, Periods
from gateway.retention.retention import Retention
from gateway.settings import Settings
from gateway.storage.database import Database


def build_retention(dependencies: Dependencies, database: Database) -> Retention:
    place = dependencies.settings.retention_export
    return Retention(
        database,
        periods_of(dependencies.settings),
        None if place is None else destination_of(place),
        on_deleted=dependencies.telemetry.events.deleted,
    )


def periods_of(settings: Settings) -> Periods:
    """How long everything is kept."""
    tenants = settings.retention_tenants.items()
    logs = {tenant: kept.task_log_days for tenant, kept in tenants if kept.task_log_days is not None}
    log_days = settings.retention_task_log_days
    return Periods(
        Period(
            settings.retention_task_days,
            {tenant: kept.task_days for tenant, kept in tenants if kept.task_days is not None},
        ),
        Period(FOR_GOOD if log_days is None else log_days, logs) if logs or log_days is not None else None,
        Period(
            settings.schedule_history_days,
            {tenant: kept.schedule_history_days for tenant, kept in tenants if kept.schedule_history_days is not None},
        ),
        settings.operation_days,
        settings.idempotency_hours,
    )
