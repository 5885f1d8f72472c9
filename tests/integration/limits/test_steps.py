"""What quotas mean for steps of a DAG, as docs/quotas-and-tiers.md says."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import QuotaExceeded


async def test_steps_are_not_charged_and_never_refused_but_take_room_and_slots(world: Any) -> None:
    limits = {"queued": 4, "running": 2, "per_minute": 1, "bytes_per_day": 1}
    await world.gateway.quotas.set("initech", "", **limits, by="root", why="test")
    await world.gateway.task_limits.refresh()
    await world.submit(5, dag_run_id="a-run")

    (quota,) = await world.gateway.quotas.usage("initech")
    assert [quota["used"][name] for name in ("queued", "per_minute", "bytes_per_day")] == [5, 0, 0]
    assert await world.count(held="quota:running") == 3  # the others were let go
    with pytest.raises(QuotaExceeded) as refused:
        await world.submit()
    assert refused.value.quota == "queued"
