"""Schedules that an older gateway stored."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from gateway.schedules.schedule import Schedule


def test_an_empty_name_of_an_action_meant_none() -> None:
    action = {"type": "probe", "project_id": "", "tenant_id": "acme", "group_id": ""}
    definition = {"name": "nightly", "specs": [{"every_seconds": 3600}], "action": action}
    now = datetime.now(UTC)
    row: dict[str, Any] = {
        "schedule_id": "s",
        "tenant_id": "acme",
        "project_id": None,
        "user_id": "ann",
        "revision": 1,
        "next_at": None,
        "fire_at": None,
        "created_at": now,
        "updated_at": now,
        "definition": json.dumps(definition),
        "is_paused": False,
        "note": None,
        "remaining_runs": None,
    }
    action_read = Schedule.of_row(row).definition.action
    assert (action_read.project_id, action_read.tenant_id, action_read.group_id) == (None, "acme", None)
