"""Payloads that legacy producers pushed, offered again after their worker was lost."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gateway.storage.database import Database
from gateway.tasks.lifecycle.foreign import ForeignTasks


@pytest.mark.parametrize("value", [2**64 + 1, -(10**30), "\ud800", "\0", math.nan, math.inf, 0.1, 1e22, [{}], None])
async def test_a_tasks_own_payload_may_be_the_task(database: Database, value: Any) -> None:
    foreign = ForeignTasks(database)
    payload = {"task_id": "t1", "task_type": "probe", "timestamp": 1.5, "n": value}
    assert await foreign.judge("t1", "g", payload) is None
    assert await foreign.adopt("t1", "g", "probe", payload)
    assert await foreign.judge("t1", "g", payload) is None
    assert "duplicate task_id" in str(await foreign.judge("t1", "g", {**payload, "n": "another"}))
