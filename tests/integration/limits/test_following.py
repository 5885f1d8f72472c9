"""What one gateway is told, the others hear without being asked."""

from __future__ import annotations

import asyncio

from gateway.limits.limits import IDLE_SECONDS, Limits
from gateway.limits.pauses import Pauses
from gateway.limits.quotas import Quotas
from gateway.storage.listener import Listener
from workers.testing.waiting import eventually


async def test_changes_are_announced(world):
    ours = world.gateway.task_limits
    elsewhere = Limits(world.database, Listener(world.database), recallable=[])
    quotas, pauses = Quotas(world.database, elsewhere), Pauses(world.database, elsewhere)
    following = asyncio.create_task(ours.run())
    try:
        # Of a first pause it hears in any case: when it listens, or when it first looks.
        first, _ = await pauses.add(None, None, "none_such", by="root", why="test")
        await eventually(lambda: _value(ours.is_paused(None, None, "none_such")), bool)
        await pauses.remove(first.pause_id, by="root", why=None)
        await eventually(lambda: _value(not ours.is_paused(None, None, "none_such")), bool)
        limits = {"queued": None, "running": 1, "per_minute": None, "bytes_per_day": None}
        await quotas.set("initech", "", **limits, by="root", why=None)
        await eventually(lambda: _value(ours.limits_running("initech", None)), bool, within=IDLE_SECONDS - 1)
        added, _ = await pauses.add("umbrella", None, None, by="root", why="test")
        await eventually(lambda: _value(ours.is_paused("umbrella", None, "x")), bool)
        await world.submit(2, tenant="umbrella")
        assert await world.count(held=f"paused:{added.pause_id}") == 2
        await pauses.remove(added.pause_id, by="root", why=None)
        await eventually(lambda: world.count(held=None), lambda free: free == 2)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def _value(value: bool) -> bool:
    return value
