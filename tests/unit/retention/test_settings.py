"""What the settings promise is kept."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.bootstrap.retention import periods_of
from gateway.settings import Settings


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"retention_task_days": 1, "idempotency_hours": 48}, "TASKGATE_IDEMPOTENCY_HOURS"),
        ({"retention_tenants": {"acme": {"task_days": 1}}}, "TASKGATE_DRAIN_QUIET_HOURS"),
        (
            {"retention_task_log_days": 1, "retention_export": "x", "idempotency_hours": 48},
            "TASKGATE_IDEMPOTENCY_HOURS",
        ),
        ({"retention_tenants": {"acme": {"task_log_days": 1}}, "retention_export": "x"}, "TASKGATE_DRAIN_QUIET_HOURS"),
        ({"retention_task_log_days": 60}, "TASKGATE_RETENTION_EXPORT"),
        ({"retention_tenants": {"acme": {"task_log_days": 60}}}, "TASKGATE_RETENTION_EXPORT"),
        ({"retention_tenants": {"acme": {"days": 60}}}, "Extra inputs"),
    ],
)
def test_settings_that_would_break_a_promise_are_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Settings(**given)


def test_each_tenant_has_its_own_days() -> None:
    tenants = {"acme": {"task_days": 365, "task_log_days": 730}, "brief": {"schedule_history_days": 7}}
    periods = periods_of(Settings(retention_tenants=tenants, retention_export="archive"))
    assert periods.tasks.arguments == (30 * 86400, ["acme"], [365 * 86400])
    assert periods.firings.arguments == (90 * 86400, ["brief"], [7 * 86400])
    assert periods.task_logs is not None
    assert periods.task_logs.tenants == {"acme": 730}
    assert periods.task_logs.days > 10_000


def test_rows_of_task_logs_stay_for_good_by_default() -> None:
    assert periods_of(Settings()).task_logs is None
