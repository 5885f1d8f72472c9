"""A pool's workers poll the queues to which dispatch sends its tenants' tasks."""

from __future__ import annotations

from typing import Any

import pytest

from backends.temporal.names import tenant_queue
from gateway.storage.database import Database
from workers.process import tenants_served


@pytest.mark.parametrize(
    ("pool", "expected"),
    [("A", {"big", "spaced"}), ("B", {"vip"}), ("C", {"gone"}), (None, {"big", "spaced", "vip", "gone"})],
)
async def test_tenants_whose_own_queues_a_pool_serves(
    database: Database, new_task: Any, pool: str | None, expected: set[str]
) -> None:
    """However their plan is written, and also while work waits in the queue of a tenant that left its tier."""
    plans = {"big": "Enterprise", "spaced": " enterprise\n", "vip": "VIP", "small": "standard", "gone": "free"}
    for tenant_id, plan in plans.items():
        await database.execute(
            "INSERT INTO tenants (id, name, owner_id, plan) VALUES ($1, $1, 'u', $2)", tenant_id, plan
        )
    for tenant_id in ("vip", "gone"):
        await new_task(backend="temporal", tenant_id=tenant_id, queue=tenant_queue(tenant_id, "probe"))
    assert set(await tenants_served(database, pool)) == expected
