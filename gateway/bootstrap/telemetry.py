"""Builds what a gateway tells about itself; other parts get callbacks, and know nothing of it."""

from __future__ import annotations

from collections.abc import Mapping

from backends.port import WorkflowEnginePort
from backends.redis_queue.wire import TYPES
from gateway.observability.telemetry import Telemetry, build_tracing, resource_of
from gateway.observability.traced_engine import traced_engines
from gateway.settings import Settings


def build_telemetry(settings: Settings, version: str) -> Telemetry:
    """Sends nothing unless a setting says so."""
    resource = resource_of("gateway", version)
    return Telemetry(
        resource,
        otlp=settings.metrics_otlp,
        known_types=TYPES,
        tenants=settings.metrics_tenants,
        tracing=build_tracing(resource, settings.trace_share),
    )


def engines_to_start_on(
    engines: Mapping[str, WorkflowEnginePort], telemetry: Telemetry
) -> Mapping[str, WorkflowEnginePort]:
    """The engines, whose starts are traced if anything is."""
    return engines if telemetry.tracing is None else traced_engines(engines, telemetry.tracing)
