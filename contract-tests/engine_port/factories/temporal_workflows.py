"""Temporal without standalone activities under the conformance suite: each task in a workflow of one activity."""

from __future__ import annotations

from workers.testing.harness import EngineHarness
from workers.testing.temporal import TemporalHarness

FIXTURES = ("temporal_server", "temporal_namespace")


async def create(temporal_server: str, temporal_namespace: str) -> EngineHarness:
    return await TemporalHarness(temporal_server, temporal_namespace, standalone=False).open()
