"""Gauges of one gateway process: who listens to it, its connections to PostgreSQL, and what it does as the leader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Meter, Observation


def observe_process(
    meter: Meter,
    *,
    streams: Mapping[str, Callable[[], int]],
    connections: Callable[[], Mapping[str, int]],
    leads: Callable[[], bool],
    jobs: Callable[[], Mapping[str, float]],
) -> None:
    """`streams`: how many clients listen, by what to; `connections`: how many there are, by what they do.

    `leads`: whether this process is the leader; `jobs`: seconds since the leader's jobs were done.
    """

    def leader(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(int(leads()))]

    def ages(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(seconds, {"job_name": name}) for name, seconds in jobs().items()]

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
    meter.create_observable_gauge("taskgate_leader", [leader], description="1 if this gateway is the leader")
    meter.create_observable_gauge(
        "taskgate_leader_job_age_seconds", [ages], description="Since each job of the leader was last done"
    )
