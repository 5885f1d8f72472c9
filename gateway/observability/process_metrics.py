"""Gauges of one gateway process: who listens to it, and its connections to PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Meter, Observation


def observe_process(
    meter: Meter, *, streams: Mapping[str, Callable[[], int]], connections: Callable[[], Mapping[str, int]]
) -> None:
    """`streams`: how many clients listen, by what to; `connections`: how many there are, by what they do."""

    def clients(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(count(), {"stream": name}) for name, count in streams.items()]

    def pool(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(count, {"state": state}) for state, count in connections().items()]

    meter.create_observable_gauge(
        "taskgate_stream_clients", [clients], description="Clients that follow changes, over HTTP and gRPC"
    )
    meter.create_observable_gauge(
        "taskgate_database_connections", [pool], description="Connections of this process to PostgreSQL"
    )
