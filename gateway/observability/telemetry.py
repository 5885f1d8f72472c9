"""`Telemetry`: what one process tells about itself, and where its parts report to."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource

from gateway.observability.exporter import Metrics
from gateway.observability.process_counters import ProcessCounters
from gateway.observability.task_metrics import TaskMetrics

if TYPE_CHECKING:
    from gateway.observability.traces import Tracing


class Telemetry:
    """`tenants`: those with series of their own; `otlp`: metrics are also sent over OTLP."""

    def __init__(
        self,
        resource: Resource,
        *,
        otlp: bool,
        known_types: Collection[str],
        tenants: Collection[str],
        tracing: Tracing | None = None,
    ) -> None:
        self.metrics = Metrics(resource, otlp=otlp)
        self.tasks = TaskMetrics(self.metrics.meter, known_types=known_types, tenants=tenants)
        self.events = ProcessCounters(self.metrics.meter)
        self.tracing = tracing

    def grpc_interceptors(self) -> Sequence[Any]:
        """What the gRPC server takes, so that its calls are spans."""
        if self.tracing is None:
            return ()
        from opentelemetry.instrumentation.grpc import aio_server_interceptor

        return (aio_server_interceptor(tracer_provider=self.tracing.provider),)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Send what is left; blocks for some seconds at most."""
        self.metrics.close()
        if self.tracing is not None:
            self.tracing.close()


def resource_of(kind: str, version: str) -> Resource:
    """What a process is; `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` add to it."""
    own = {
        SERVICE_NAME: f"taskgate-{kind}",
        SERVICE_VERSION: version,
        SERVICE_INSTANCE_ID: f"{socket.gethostname()}-{os.getpid()}",
    }
    named = os.environ.get("OTEL_SERVICE_NAME")
    return Resource.create(own | ({SERVICE_NAME: named} if named else {}))


def build_tracing(resource: Resource, share: float) -> Tracing | None:
    """None, and nothing of it is loaded, when no trace is to be recorded."""
    if not share:
        return None
    from gateway.observability.instrumentation import instrument_libraries
    from gateway.observability.traces import Tracing

    tracing = Tracing(resource, share=share)
    instrument_libraries(tracing.provider)
    return tracing
