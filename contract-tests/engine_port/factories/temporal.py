"""Temporal with standalone activities under the conformance suite, with the gateway's own worker pool."""

from __future__ import annotations

from workers.testing.harness import EngineHarness
from workers.testing.temporal import TemporalHarness

FIXTURES = ("temporal_server", "temporal_namespace")


async def create(temporal_server: str, temporal_namespace: str) -> EngineHarness:
    return await TemporalHarness(temporal_server, temporal_namespace, standalone=True).open()
