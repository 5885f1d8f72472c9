"""The page that Prometheus would scrape, without a database."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.resources import Resource

from gateway.fleet.signals import Signals
from gateway.observability.exporter import Metrics
from gateway.observability.fleet_metrics import FleetMetrics


def page_of(signals: Signals) -> str:
    """With these loads of the fleet alone."""
    nothing: Any = None
    metrics = Metrics(Resource.get_empty(), otlp=False)
    FleetMetrics(metrics.meter, nothing, nothing, nothing).show(signals)
    return metrics.render().decode()
