"""Metrics of one process, by the OpenTelemetry SDK: read by Prometheus, and sent over OTLP if a setting says so."""

from __future__ import annotations

import threading

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: How long the end of a process waits for the last export (seconds).
CLOSE_SECONDS = 2.0


class Metrics:
    """`meter` makes instruments; `render` is the page for Prometheus.

    With `otlp` the standard variables `OTEL_EXPORTER_OTLP_…` and `OTEL_METRIC_EXPORT_INTERVAL` say where to and how
    often. That is done by a thread of the SDK, so a collector that is away or hangs delays nobody.
    """

    def __init__(self, resource: Resource, *, otlp: bool) -> None:
        self._registry = CollectorRegistry()
        readers: list[MetricReader] = [PrometheusMetricReader(registry=self._registry, scope_info_enabled=False)]
        if otlp:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

            readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
        self._provider = MeterProvider(
            readers, resource, exemplar_filter=AlwaysOffExemplarFilter(), shutdown_on_exit=False
        )
        self.meter = self._provider.get_meter("taskgate")

    def render(self) -> bytes:
        """Every value, in Prometheus's text format (0.0.4)."""
        return generate_latest(self._registry)

    def close(self) -> None:
        """Send the last values, and stop. Returns after `CLOSE_SECONDS` at the latest."""
        closing = threading.Thread(target=self._provider.shutdown, name="taskgate-metrics-close", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
