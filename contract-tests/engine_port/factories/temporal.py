"""Temporal with standalone activities under the conformance suite, with the gateway's own worker pool."""

from __future__ import annotations

from backends.port import Capability
from workers.testing.harness import EngineHarness
from workers.testing.temporal import TemporalHarness

FIXTURES = ("temporal_server", "temporal_namespace")

CAPABILITIES = {
    Capability.FENCED,
    Capability.PRIORITY,
    Capability.CANCEL_RUNNING,
    Capability.DIRECT,
    Capability.REQUEUE,
    Capability.RESULT,
    Capability.WORKFLOWS,
    Capability.FAIRNESS,
}

SKIPS = {
    "test_what_is_released_by_worker_runs_again": "Temporal keeps no list of what a worker was given",
    "test_what_a_lost_worker_had_ended_keeps_its_end": "Temporal keeps no list of what a worker was given",
    "test_an_engine_that_lost_its_memory_is_another": "other tests share the server",
}


async def create(temporal_server: str, temporal_namespace: str) -> EngineHarness:
    return await TemporalHarness(temporal_server, temporal_namespace, standalone=True).open()
