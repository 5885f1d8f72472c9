"""A drain that is watched: each change is told, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis

from backends.redis_queue import wire
from gateway.migration.drain.report import Drain
from gateway.migration.drain.watch import DrainWatch


async def test_each_change_is_told(drain: Drain, redis: Redis, payload: Any) -> None:
    watch = DrainWatch(drain)
    subscription = watch.subscribe(None).open()
    reports = watch.follow(subscription, quiet=3600)
    async with asyncio.timeout(60):
        first = await anext(reports)
        assert first is not None
        assert first.left.counts.past_gateway == 0
        await redis.rpush(f"{wire.GROUP}p-acme", payload())
        second = await anext(reports)
        assert second is not None
        assert second.left.counts.past_gateway == 1
        subscription.close()
        assert [report async for report in reports] == []


async def test_a_quiet_drain_says_that_it_is_alive(drain: Drain, redis: Redis) -> None:
    watch = DrainWatch(drain)
    reports = watch.follow(watch.subscribe("acme").open(), quiet=0.0)
    async with asyncio.timeout(60):
        assert await anext(reports) is not None
        assert await anext(reports) is None
    await reports.aclose()  # type: ignore[attr-defined]


async def test_the_end_of_the_gateway_ends_it(drain: Drain) -> None:
    watch = DrainWatch(drain)
    subscription = watch.subscribe(None).open()
    watch.end_streams()
    assert subscription.is_closed
    assert watch.subscribe(None).open().is_closed
