"""Builds what a gateway tells about itself; other parts get callbacks, and know nothing of it."""

from __future__ import annotations

from backends.redis_queue.wire import TYPES
from gateway.observability.telemetry import Telemetry, resource_of
from gateway.settings import Settings


def build_telemetry(settings: Settings, version: str) -> Telemetry:
    """Sends nothing unless a setting says so."""
    return Telemetry(
        resource_of("gateway", version),
        otlp=settings.metrics_otlp,
        known_types=TYPES,
        tenants=settings.metrics_tenants,
    )
