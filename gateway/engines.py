"""The workflow engines as the settings say; none connects, and no SDK is imported, before it is used."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from backends.port import WorkflowEnginePort
from gateway.settings import Settings

if TYPE_CHECKING:
    from backends.redis_queue.engine import RedisQueueEngine
    from backends.temporal.engine import TemporalEngine


def build_engines(settings: Settings) -> dict[str, WorkflowEnginePort]:
    """An engine per configured backend."""
    engines: dict[str, WorkflowEnginePort] = {}
    if (redis := build_redis(settings)) is not None:
        engines["redis"] = redis
    if settings.temporal_address:
        engines["temporal"] = build_temporal(settings)
    return engines


def build_redis(settings: Settings) -> RedisQueueEngine | None:
    """The Redis queue; None when none is configured."""
    if not settings.redis_url:
        return None
    from backends.redis_queue.engine import RedisQueueEngine

    return RedisQueueEngine(settings.follow("redis_url"), timeout=settings.start_timeout_seconds)


def build_temporal(settings: Settings) -> TemporalEngine:
    """Temporal; its address is set."""
    from backends.temporal.engine import TemporalEngine

    assert settings.temporal_address is not None
    return TemporalEngine(
        settings.temporal_address,
        settings.temporal_namespace,
        security=settings.temporal_security(),
        timeout=settings.start_timeout_seconds,
        inline_payload_bytes=settings.temporal_inline_payload_bytes,
        standalone=settings.temporal_standalone_activities,
        heartbeat=timedelta(seconds=settings.temporal_heartbeat_seconds),
        codec=settings.payload_codec(),
    )
