"""Checks of Redis, Temporal and the source of flags."""

from __future__ import annotations

import asyncio
import time

from backends.redis_queue.engine import RedisQueueEngine
from backends.temporal.engine import TemporalEngine
from gateway.doctor.check import Check, failed, ok, warning
from gateway.engines import build_redis, build_temporal
from gateway.routing.flags import FlagSource
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.listener import Listener

#: The oldest Redis that is tried (`make matrix`).
OLDEST_REDIS = (6, 2)
#: Longest wait for the first words of a source of flags (seconds).
FLAGS_SECONDS = 3.0


async def check_redis(settings: Settings) -> Check:
    """It answers, is new enough, and keeps what it is given. Raises `EngineError`."""
    if (redis := build_redis(settings)) is None:
        return ok("redis", "not configured: stage complete for everybody")
    try:
        return await _redis(redis)
    finally:
        await redis.close()


async def check_temporal(settings: Settings) -> Check:
    """It answers, has the namespace, and what the gateway would like it to have. Raises `EngineError`."""
    if not settings.temporal_address:
        return ok("temporal", "not configured: no tenant can be moved")
    temporal = build_temporal(settings)
    try:
        return await _temporal(temporal, settings.temporal_namespace)
    finally:
        await temporal.close()


async def check_flags(settings: Settings, database: Database) -> Check:
    """Who holds the flag, and whether it answers."""
    flags = FlagSource.from_settings(settings, database, Listener(database))
    await flags.start()
    try:
        until = time.monotonic() + FLAGS_SECONDS
        while (problem := flags.problem()) is not None and flags.is_remote and time.monotonic() < until:
            await asyncio.sleep(0.1)
        note = flags.note()
        version = flags.version
    finally:
        await flags.close()
    if problem is not None:
        return failed("flags", problem, f"see the source of flags: {flags.owner}")
    return ok("flags", note or f"{flags.owner}, version {version}")


async def _redis(redis: RedisQueueEngine) -> Check:
    await redis.check_health()
    server = await redis.describe()
    told = f"Redis {server.version}"
    if server.version_numbers < OLDEST_REDIS:
        return failed("redis", told, f"{'.'.join(map(str, OLDEST_REDIS))} is the oldest that is supported")
    if server.evicts:
        told += f" forgets tasks when its memory is full ({server.eviction_policy})"
        return failed("redis", told, "set maxmemory-policy to noeviction")
    return ok("redis", f"{told}, {server.eviction_policy}")


async def _temporal(temporal: TemporalEngine, namespace: str) -> Check:
    await temporal.check_health()
    server = await temporal.describe()
    told = f"Temporal {server.version}, namespace {namespace}"
    if server.missing_attributes:
        told += f" without search attributes {', '.join(server.missing_attributes)}"
        return warning("temporal", told, "register them: what happens in Temporal is noticed late without")
    if not server.standalone:
        told += " without standalone activities: each task is a workflow of one activity"
        return warning("temporal", told, "switch them on, or upgrade Temporal: they take half the time to start")
    return ok("temporal", f"{told}, standalone activities")
