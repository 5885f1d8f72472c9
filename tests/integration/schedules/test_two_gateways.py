"""Two gateways whose clocks look after the same schedules at the same moment."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any


async def test_two_gateways_fire_each_time_once(make_world: Any) -> None:
    async with make_world() as one, make_world(one.time) as other:
        names = [await one.create({"every_seconds": 60}, overlap="allow_all") for _ in range(10)]
        for _ in range(5):
            one.time.now += timedelta(minutes=2)
            await asyncio.gather(one.gateway.clock.tick(), other.gateway.clock.tick())
        await one.gateway.clock.tick()
        assert len(await one.tasks()) == 10 * 10
        for name in names:
            assert [outcome for _, outcome in await one.history(name)] == ["fired"] * 10


async def test_two_gateways_cancel_only_what_came_before(make_world: Any) -> None:
    """A gateway that is late must not stop the task that the other one has just submitted."""
    async with make_world() as one, make_world(one.time) as other:
        await one.create({"every_seconds": 60}, overlap="cancel_other")
        for _ in range(10):
            one.time.now += timedelta(minutes=1)
            await asyncio.gather(one.gateway.clock.tick(), other.gateway.clock.tick())
        assert [task["state"] for task in await one.tasks()] == ["stopped"] * 9 + ["starting"]
